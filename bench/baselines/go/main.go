// Command baseline only sends: ready-made messages to FCM by net/http2 and to APNs by sideshow/apns2.
//
// It reads everything into memory, says "ready", waits for a line on standard input, sends, and prints one line
// of JSON. Wall time and CPU are measured from that line to the last answer, so that loading is not counted.
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
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"
	"golang.org/x/net/http2"
)

// Plan is what the benchmark writes: addresses, credentials, and the two files of messages.
type Plan struct {
	CAFile      string `json:"ca_file"`
	Concurrency int    `json:"concurrency"`
	FCM         struct {
		Endpoint string            `json:"endpoint"`
		Headers  map[string]string `json:"headers"`
		Messages string            `json:"messages"` // a payload a line
	} `json:"fcm"`
	APNs struct {
		Host       string `json:"host"`
		Topic      string `json:"topic"`
		PrivateKey string `json:"private_key"`
		KeyID      string `json:"key_id"`
		TeamID     string `json:"team_id"`
		Priority   int    `json:"priority"`
		Expiration int64  `json:"expiration"` // epoch seconds
		Messages   string `json:"messages"`   // an apnsMessage a line
	} `json:"apns"`
}

type apnsMessage struct {
	Token      string          `json:"token"`
	ID         string          `json:"id"`
	CollapseID string          `json:"collapse_id"`
	Payload    json.RawMessage `json:"payload"`
}

// tally counts the answers of one provider; a reason is an HTTP status or the text of an error.
type tally struct {
	sent    atomic.Int64
	mutex   sync.Mutex
	Reasons map[string]int
}

func (t *tally) refused(reason string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.Reasons[reason]++
}

func main() {
	if len(os.Args) != 2 {
		fail("usage: baseline PLAN.json")
	}
	var plan Plan
	check(json.Unmarshal(read(os.Args[1]), &plan))
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(plan.CAFile)) {
		fail("no certificate in " + plan.CAFile)
	}
	fcmMessages := lines(plan.FCM.Messages)
	apnsMessages := make([]apnsMessage, 0, 1024)
	for _, line := range lines(plan.APNs.Messages) {
		var message apnsMessage
		check(json.Unmarshal(line, &message))
		apnsMessages = append(apnsMessages, message)
	}
	fcm := fcmSender(&plan, roots)
	apns := apnsSender(&plan, roots)
	fcmTally := &tally{Reasons: map[string]int{}}
	apnsTally := &tally{Reasons: map[string]int{}}
	runtime.GC()

	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		fail("standard input ended before the start was given")
	}
	cpuBefore, began := cpuSeconds(), time.Now()
	var both sync.WaitGroup
	both.Add(2)
	go func() { defer both.Done(); spread(fcmMessages, plan.Concurrency, fcm, fcmTally) }()
	go func() { defer both.Done(); spread(apnsMessages, plan.Concurrency, apns, apnsTally) }()
	both.Wait()
	seconds, cpu := time.Since(began).Seconds(), cpuSeconds()-cpuBefore

	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"fcm":         map[string]any{"sent": fcmTally.sent.Load(), "refused": fcmTally.Reasons},
		"apns":        map[string]any{"sent": apnsTally.sent.Load(), "refused": apnsTally.Reasons},
		"seconds":     seconds,
		"cpu_seconds": cpu,
		"go":          runtime.Version(),
		"gomaxprocs":  runtime.GOMAXPROCS(0),
	}))
}

// fcmSender posts a payload over one http2.Transport, whose one connection carries all streams.
func fcmSender(plan *Plan, roots *x509.CertPool) func([]byte, *tally) {
	transport := &http2.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, StrictMaxConcurrentStreams: true}
	client := &http.Client{Transport: transport, Timeout: 60 * time.Second}
	return func(payload []byte, tally *tally) {
		request, err := http.NewRequest(http.MethodPost, plan.FCM.Endpoint, bytes.NewReader(payload))
		check(err)
		for name, value := range plan.FCM.Headers {
			request.Header.Set(name, value)
		}
		response, err := client.Do(request)
		if err != nil {
			tally.refused(err.Error())
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			tally.sent.Add(1)
		} else {
			tally.refused(strconv.Itoa(response.StatusCode))
		}
	}
}

// apnsSender pushes by one apns2.Client, as its README advises: "hold on to an apns2.Client instance".
func apnsSender(plan *Plan, roots *x509.CertPool) func(apnsMessage, *tally) {
	key, err := token.AuthKeyFromBytes([]byte(plan.APNs.PrivateKey))
	check(err)
	client := apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: plan.APNs.KeyID, TeamID: plan.APNs.TeamID})
	client.Host = plan.APNs.Host
	transport := client.HTTPClient.Transport.(*http2.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.StrictMaxConcurrentStreams = true
	return func(message apnsMessage, tally *tally) {
		response, err := client.Push(&apns2.Notification{
			DeviceToken: message.Token,
			ApnsID:      message.ID,
			CollapseID:  message.CollapseID,
			Topic:       plan.APNs.Topic,
			Priority:    plan.APNs.Priority,
			Expiration:  time.Unix(plan.APNs.Expiration, 0),
			PushType:    apns2.PushTypeAlert,
			Payload:     []byte(message.Payload),
		})
		switch {
		case err != nil:
			tally.refused(err.Error())
		case response.Sent():
			tally.sent.Add(1)
		default:
			tally.refused(response.Reason)
		}
	}
}

// spread gives the messages to a fixed number of goroutines and returns when all are answered.
func spread[M any](messages []M, goroutines int, send func(M, *tally), counts *tally) {
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
				send(messages[at], counts)
			}
		}()
	}
	done.Wait()
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

func lines(path string) [][]byte {
	return bytes.Split(bytes.TrimSuffix(read(path), []byte("\n")), []byte("\n"))
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, "baseline: "+text)
	os.Exit(1)
}
