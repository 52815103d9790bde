// Holds many WebSockets to a push server and measures what arrives: the same client for notifyhub and for Centrifugo.
//
//	push LOAD.json
//
// The file is a Load. Afterwards it obeys lines of standard input, and answers each with one line of JSON:
//
//	open COUNT    open so many more connections; answers when all are greeted
//	reset         forget what arrived
//	wait COUNT    answers when so many messages have arrived since the reset (or a minute has passed)
//	report        what has arrived since the reset, and how late it was
//	post PATH     post each line of a file to the server's HTTP API (Centrifugo's intake), one after another
//	pace PATH N   the same, N requests a second
//	cut           drop every connection without a word, and open them again; answers when all are greeted
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Load says whom to connect to and how. Acks is "none", "each" or "calm": the first at once, the others together after
// a quarter of a second, as the browser's client does.
type Load struct {
	Dialect   string   `json:"dialect"`
	URL       string   `json:"url"`
	Tokens    []string `json:"tokens"`
	Acks      string   `json:"acks"`
	AtOnce    int      `json:"at_once"`
	PostURL   string   `json:"post_url"`
	PostKey   string   `json:"post_key"`
	PostEvery int      `json:"post_every"`
}

var (
	load     Load
	received atomic.Int64
	lost     atomic.Int64
	mutex    sync.Mutex
	lateness []int64
	open     []*device
	acks     = make(chan *device, 1<<20)
)

// The marker before a message's time of sending, in nanoseconds.
var marker = []byte(`"t":"`)

type device struct {
	connection net.Conn
	reader     *bufio.Reader
	writing    sync.Mutex
	token      string
	cursor     string
	seq        atomic.Int64
	acked      int64
	queued     atomic.Bool
	greeted    chan error
	once       sync.Once
}

func (d *device) greet(err error) { d.once.Do(func() { d.greeted <- err }) }

func dial(token, cursor string) (*device, error) {
	target, err := url.Parse(load.URL)
	if err != nil {
		return nil, err
	}
	connection, err := net.DialTimeout("tcp", target.Host, 30*time.Second)
	if err != nil {
		return nil, err
	}
	d := &device{connection: connection, reader: bufio.NewReaderSize(connection, 2048), token: token, greeted: make(chan error, 1), cursor: cursor}
	offered := ""
	if load.Dialect == "notifyhub" {
		offered = "Sec-WebSocket-Protocol: notifyhub.v1, notifyhub.auth." + token + "\r\n"
	}
	fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", target.RequestURI(), target.Host, offered)
	status, err := d.reader.ReadString('\n')
	if err == nil && !strings.Contains(status, " 101 ") {
		err = fmt.Errorf("the handshake was answered with %q", strings.TrimSpace(status))
	}
	for line := "x"; err == nil && strings.TrimSpace(line) != ""; {
		line, err = d.reader.ReadString('\n')
	}
	if err != nil {
		connection.Close()
		return nil, err
	}
	if load.Dialect == "notifyhub" {
		if cursor == "" {
			d.write([]byte(`{"type":"resume","cursor":null}`))
		} else {
			d.write([]byte(`{"type":"resume","cursor":"` + cursor + `"}`))
		}
	} else {
		d.write([]byte(`{"id":1,"connect":{"token":"` + token + `"}}`))
	}
	return d, nil
}

// write sends a masked text frame; the mask is fixed, as nobody stands between.
func (d *device) write(payload []byte) {
	head := []byte{0x81}
	if len(payload) < 126 {
		head = append(head, 0x80|byte(len(payload)))
	} else {
		head = append(head, 0x80|126, byte(len(payload)>>8), byte(len(payload)))
	}
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	head = append(head, mask[:]...)
	for at, one := range payload {
		head = append(head, one^mask[at%4])
	}
	d.writing.Lock()
	d.connection.Write(head)
	d.writing.Unlock()
}

func (d *device) read() {
	buffer := make([]byte, 0, 1024)
	for {
		var head [10]byte
		if _, err := io.ReadFull(d.reader, head[:2]); err != nil {
			lost.Add(1)
			d.greet(err)
			return
		}
		size := uint64(head[1] & 0x7f)
		var err error
		if size == 126 {
			_, err = io.ReadFull(d.reader, head[2:4])
			size = uint64(binary.BigEndian.Uint16(head[2:4]))
		} else if size == 127 {
			_, err = io.ReadFull(d.reader, head[2:10])
			size = binary.BigEndian.Uint64(head[2:10])
		}
		if err == nil {
			if uint64(cap(buffer)) < size {
				buffer = make([]byte, size)
			}
			buffer = buffer[:size]
			_, err = io.ReadFull(d.reader, buffer)
		}
		if err != nil {
			lost.Add(1)
			d.greet(err)
			return
		}
		switch head[0] & 0x0f {
		case 1:
			d.take(buffer)
		case 8:
			lost.Add(1)
			d.greet(fmt.Errorf("closed: %x", buffer))
			d.connection.Close()
			return
		case 9:
			pong := append([]byte{0x8a, 0x80 | byte(len(buffer)), 0, 0, 0, 0}, buffer...)
			d.writing.Lock()
			d.connection.Write(pong)
			d.writing.Unlock()
		}
	}
}

func (d *device) take(text []byte) {
	now := time.Now().UnixNano()
	count := int64(0)
	for rest := text; ; {
		at := bytes.Index(rest, marker)
		if at < 0 {
			break
		}
		rest = rest[at+len(marker):]
		if end := bytes.IndexByte(rest, '"'); end > 0 {
			if sent, err := strconv.ParseInt(string(rest[:end]), 10, 64); err == nil {
				count++
				mutex.Lock()
				lateness = append(lateness, now-sent)
				mutex.Unlock()
			}
		}
	}
	if count > 0 {
		received.Add(count)
	}
	if load.Dialect == "notifyhub" {
		if bytes.HasPrefix(text, []byte(`{"type":"hello"`)) {
			d.greet(nil)
		} else if bytes.HasPrefix(text, []byte(`{"type":"entries"`)) {
			if seq := number(text, `"seq":`); seq > 0 {
				d.stored(seq)
			}
			if at := bytes.Index(text, []byte(`"cursor":"`)); at > 0 {
				rest := text[at+10:]
				d.cursor = string(rest[:bytes.IndexByte(rest, '"')])
			}
		}
		return
	}
	for _, line := range bytes.Split(text, []byte("\n")) {
		if bytes.Equal(line, []byte("{}")) {
			d.write([]byte("{}"))
		} else if bytes.Contains(line, []byte(`"connect":`)) {
			d.greet(nil)
		} else if bytes.Contains(line, []byte(`"error":`)) {
			d.greet(fmt.Errorf("%s", line))
		}
	}
}

func number(text []byte, name string) int64 {
	at := bytes.Index(text, []byte(name))
	if at < 0 {
		return 0
	}
	rest := text[at+len(name):]
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	found, _ := strconv.ParseInt(string(rest[:end]), 10, 64)
	return found
}

func (d *device) stored(seq int64) {
	switch load.Acks {
	case "each":
		d.write([]byte(`{"type":"ack","seq":` + strconv.FormatInt(seq, 10) + `}`))
	case "calm":
		d.seq.Store(seq)
		if !d.queued.Swap(true) {
			d.ack()
			acks <- d
		}
	}
}

func (d *device) ack() {
	seq := d.seq.Load()
	if seq > d.acked {
		d.acked = seq
		d.write([]byte(`{"type":"ack","seq":` + strconv.FormatInt(seq, 10) + `}`))
	}
}

// acknowledge ends the quarter of a second of each device that acknowledged.
func acknowledge() {
	type due struct {
		device *device
		at     time.Time
	}
	waiting := []due{}
	for range time.Tick(5 * time.Millisecond) {
		for more := true; more; {
			select {
			case d := <-acks:
				waiting = append(waiting, due{d, time.Now().Add(250 * time.Millisecond)})
			default:
				more = false
			}
		}
		now := time.Now()
		for len(waiting) > 0 && waiting[0].at.Before(now) {
			d := waiting[0].device
			waiting = waiting[1:]
			d.queued.Store(false)
			d.ack()
		}
	}
}

func connect(tokens, cursors []string) map[string]any {
	began := time.Now()
	made := make([]*device, len(tokens))
	failed := make([]error, len(tokens))
	gate := make(chan struct{}, load.AtOnce)
	var all sync.WaitGroup
	for at := range tokens {
		all.Add(1)
		gate <- struct{}{}
		go func() {
			defer all.Done()
			defer func() { <-gate }()
			var d *device
			var err error
			for try := 0; try < 100; try++ {
				if d, err = dial(tokens[at], cursors[at]); err == nil {
					break
				}
				time.Sleep(time.Duration(50+try*20) * time.Millisecond)
			}
			if err == nil {
				go d.read()
				select {
				case err = <-d.greeted:
				case <-time.After(60 * time.Second):
					err = fmt.Errorf("not greeted within a minute")
				}
			}
			made[at], failed[at] = d, err
		}()
	}
	all.Wait()
	first, bad := "", 0
	for at, err := range failed {
		if err != nil {
			bad++
			first = err.Error()
		} else {
			open = append(open, made[at])
		}
	}
	return map[string]any{"open": len(open), "failed": bad, "error": first, "seconds": time.Since(began).Seconds()}
}

func report() map[string]any {
	mutex.Lock()
	defer mutex.Unlock()
	sorted := append([]int64{}, lateness...)
	sort.Slice(sorted, func(a, b int) bool { return sorted[a] < sorted[b] })
	at := func(share float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return float64(sorted[int(share*float64(len(sorted)-1))]) / 1e6
	}
	return map[string]any{"received": received.Load(), "lost": lost.Load(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1)}
}

// post sends each line as a request's body. "$T" in it becomes the time of sending.
func post(path string, each time.Duration) map[string]any {
	file, err := os.ReadFile(path)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	began, sent := time.Now(), 0
	for at, line := range bytes.Split(bytes.TrimSpace(file), []byte("\n")) {
		if wait := began.Add(time.Duration(at) * each).Sub(time.Now()); each > 0 && wait > 0 {
			time.Sleep(wait)
		}
		stamped := bytes.ReplaceAll(line, []byte("$T"), []byte(strconv.FormatInt(time.Now().UnixNano(), 10)))
		request, _ := http.NewRequest("POST", load.PostURL, bytes.NewReader(stamped))
		request.Header.Set("X-API-Key", load.PostKey)
		answer, err := client.Do(request)
		if err != nil {
			return map[string]any{"error": err.Error()}
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != 200 {
			return map[string]any{"error": fmt.Sprintf("%d %.200s", answer.StatusCode, body)}
		}
		sent++
	}
	return map[string]any{"requests": sent, "seconds": time.Since(began).Seconds()}
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(text, &load)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go acknowledge()
	lines := bufio.NewScanner(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		count := 0
		if len(words) > 1 {
			count, _ = strconv.Atoi(words[len(words)-1])
		}
		switch words[0] {
		case "open":
			from := len(open)
			answers.Encode(connect(load.Tokens[from:from+count], make([]string, count)))
		case "cut":
			tokens, cursors := []string{}, []string{}
			for _, d := range open {
				tokens, cursors = append(tokens, d.token), append(cursors, d.cursor)
				d.connection.Close()
			}
			open = nil
			answers.Encode(connect(tokens, cursors))
		case "reset":
			mutex.Lock()
			lateness = lateness[:0]
			received.Store(0)
			lost.Store(0)
			mutex.Unlock()
			answers.Encode(map[string]any{})
		case "wait":
			until := time.Now().Add(time.Minute)
			for received.Load() < int64(count) && time.Now().Before(until) {
				time.Sleep(2 * time.Millisecond)
			}
			answers.Encode(report())
		case "report":
			answers.Encode(report())
		case "post":
			answers.Encode(post(words[1], 0))
		case "pace":
			answers.Encode(post(words[1], time.Second/time.Duration(count)))
		}
	}
}
