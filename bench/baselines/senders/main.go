// Command senders sends messages to FCM by net/http2 or to APNs by sideshow/apns2, doing what a sender does: it builds
// the payload, shows its token, reads the answer, and keeps an outcome for every message.
//
// It reads the messages into memory, sends some to warm up, says "ready", and then for every line on standard input
// sends them all and prints one line of JSON. Wall time and CPU are measured from the line to the last answer.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/payload"
	"github.com/sideshow/apns2/token"
	"golang.org/x/net/http2"
)

// plan is what the benchmark writes.
type plan struct {
	Provider    string `json:"provider"`
	CAFile      string `json:"ca_file"`
	Concurrency int    `json:"concurrency"`
	Warm        int    `json:"warm"`
	Messages    string `json:"messages"` // a message a line
	Run         string `json:"run"`
	Expiration  int64  `json:"expiration"` // epoch seconds
	FCM         struct {
		Endpoint string `json:"endpoint"`
		Bearer   string `json:"bearer"`
	} `json:"fcm"`
	APNs struct {
		Host       string `json:"host"`
		Topic      string `json:"topic"`
		PrivateKey string `json:"private_key"`
		KeyID      string `json:"key_id"`
		TeamID     string `json:"team_id"`
	} `json:"apns"`
}

type message struct {
	Token        string            `json:"token"`
	Notification string            `json:"notification"`
	Title        string            `json:"title"`
	Body         string            `json:"body"`
	Link         string            `json:"link"`
	Data         map[string]string `json:"data"`
}

// outcome is what is kept for a message: its id at the provider, or why it was refused and when to try again.
type outcome struct {
	ID         string
	Reason     string
	RetryAfter int
}

type fcmNotification struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`
}

type fcmAndroidNotification struct {
	Tag       string `json:"tag,omitempty"`
	ChannelID string `json:"channel_id,omitempty"`
	Sound     string `json:"sound,omitempty"`
}

type fcmAndroid struct {
	Priority     string                  `json:"priority,omitempty"`
	TTL          string                  `json:"ttl,omitempty"`
	Notification *fcmAndroidNotification `json:"notification,omitempty"`
}

type fcmMessage struct {
	Token        string            `json:"token"`
	Data         map[string]string `json:"data,omitempty"`
	Android      *fcmAndroid       `json:"android,omitempty"`
	Notification *fcmNotification  `json:"notification,omitempty"`
}

type fcmRequest struct {
	Message fcmMessage `json:"message"`
}

type fcmAnswer struct {
	Name  string `json:"name"`
	Error struct {
		Status  string `json:"status"`
		Details []struct {
			ErrorCode string `json:"errorCode"`
		} `json:"details"`
	} `json:"error"`
}

func main() {
	if len(os.Args) != 2 {
		fail("usage: senders PLAN.json")
	}
	var p plan
	check(json.Unmarshal(read(os.Args[1]), &p))
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(p.CAFile)) {
		fail("no certificate in " + p.CAFile)
	}
	var messages []message
	for _, line := range bytes.Split(bytes.TrimSpace(read(p.Messages)), []byte("\n")) {
		var m message
		check(json.Unmarshal(line, &m))
		messages = append(messages, m)
	}
	send := fcmSender(&p, roots)
	if p.Provider == "apns" {
		send = apnsSender(&p, roots)
	}
	spread(messages[:p.Warm], p.Concurrency, send)
	runtime.GC()

	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		cpuBefore, began := cpuSeconds(), time.Now()
		outcomes := spread(messages, p.Concurrency, send)
		seconds, cpu := time.Since(began).Seconds(), cpuSeconds()-cpuBefore
		sent, refused := 0, map[string]int{}
		for _, o := range outcomes {
			if o.Reason == "" && o.ID != "" {
				sent++
			} else {
				refused[o.Reason]++
			}
		}
		check(json.NewEncoder(os.Stdout).Encode(map[string]any{
			"sent": sent, "refused": refused, "seconds": seconds, "cpu_seconds": cpu,
			"version": fmt.Sprintf("%s, GOMAXPROCS %d", runtime.Version(), runtime.GOMAXPROCS(0)),
		}))
	}
}

// fcmSender posts over one http2.Transport, whose one connection carries all streams.
func fcmSender(p *plan, roots *x509.CertPool) func(*message) outcome {
	transport := &http2.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, StrictMaxConcurrentStreams: true}
	client := &http.Client{Transport: transport, Timeout: 60 * time.Second}
	return func(m *message) outcome {
		data := make(map[string]string, len(m.Data)+3)
		for name, value := range m.Data {
			data[name] = value
		}
		data["link"], data["nh_id"], data["nh_run"] = m.Link, m.Notification, p.Run
		body, err := json.Marshal(fcmRequest{fcmMessage{
			Token: m.Token,
			Data:  data,
			Android: &fcmAndroid{
				Priority:     "HIGH",
				TTL:          strconv.FormatInt(max(0, p.Expiration-time.Now().Unix()), 10) + "s",
				Notification: &fcmAndroidNotification{Tag: m.Notification, ChannelID: "news", Sound: "default"},
			},
			Notification: &fcmNotification{Title: m.Title, Body: m.Body},
		}})
		check(err)
		request, err := http.NewRequest(http.MethodPost, p.FCM.Endpoint, bytes.NewReader(body))
		check(err)
		request.Header.Set("Authorization", "Bearer "+p.FCM.Bearer)
		request.Header.Set("Content-Type", "application/json; UTF-8")
		response, err := client.Do(request)
		if err != nil {
			return outcome{Reason: err.Error()}
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		var answer fcmAnswer
		if err == nil {
			err = json.Unmarshal(content, &answer)
		}
		if err != nil {
			return outcome{Reason: err.Error()}
		}
		if response.StatusCode == http.StatusOK {
			return outcome{ID: answer.Name[strings.LastIndexByte(answer.Name, '/')+1:]}
		}
		reason := answer.Error.Status
		for _, detail := range answer.Error.Details {
			if detail.ErrorCode != "" {
				reason = detail.ErrorCode
			}
		}
		wait, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		return outcome{Reason: reason, RetryAfter: wait}
	}
}

// apnsSender pushes by one apns2.Client, as its README advises: "hold on to an apns2.Client instance".
func apnsSender(p *plan, roots *x509.CertPool) func(*message) outcome {
	if p.Provider != "apns" {
		return nil
	}
	key, err := token.AuthKeyFromBytes([]byte(p.APNs.PrivateKey))
	check(err)
	client := apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: p.APNs.KeyID, TeamID: p.APNs.TeamID})
	client.Host = p.APNs.Host
	transport := client.HTTPClient.Transport.(*http2.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.StrictMaxConcurrentStreams = true
	expiration := time.Unix(p.Expiration, 0)
	return func(m *message) outcome {
		content := payload.NewPayload().AlertTitle(m.Title).AlertBody(m.Body).Sound("default").ThreadID("news").
			Custom("link", m.Link).Custom("nh", map[string]string{"id": m.Notification, "run": p.Run})
		for name, value := range m.Data {
			content.Custom(name, value)
		}
		response, err := client.Push(&apns2.Notification{
			DeviceToken: m.Token,
			ApnsID:      m.Notification,
			CollapseID:  m.Notification,
			Topic:       p.APNs.Topic,
			Priority:    apns2.PriorityHigh,
			Expiration:  expiration,
			PushType:    apns2.PushTypeAlert,
			Payload:     content,
		})
		switch {
		case err != nil:
			return outcome{Reason: err.Error()}
		case response.Sent():
			return outcome{ID: response.ApnsID}
		default:
			return outcome{Reason: response.Reason}
		}
	}
}

// spread gives the messages to a fixed number of goroutines and returns what became of each.
func spread(messages []message, goroutines int, send func(*message) outcome) []outcome {
	outcomes := make([]outcome, len(messages))
	var next atomic.Int64
	var done sync.WaitGroup
	for range goroutines {
		done.Add(1)
		go func() {
			defer done.Done()
			for {
				at := int(next.Add(1)) - 1
				if at >= len(messages) {
					return
				}
				outcomes[at] = send(&messages[at])
			}
		}()
	}
	done.Wait()
	return outcomes
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func read(path string) []byte {
	content, err := os.ReadFile(path)
	check(err)
	return content
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, "senders: "+text)
	os.Exit(1)
}
