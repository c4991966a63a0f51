// Prints what the node leaves from, and again whenever it changes:
//
//	go run events.go [URL of the agent]
//
// The agent sends its state at the begin of a stream and at each change (server-sent events, HTML standard,
// section 9.2). A client that comes back with the id of the last event is sent nothing that it has had.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	pause = time.Second
	// The agent sends a comment every 15 seconds: after three that did not come it is gone.
	silence  = 45 * time.Second
	longest  = 4 << 20
	fallback = "http://azure-lb-metadata.azure-lb-metadata"
)

// A node without a ready agent drops packets: without a limit, connecting would take minutes. And unlike
// http.DefaultTransport this one asks no proxy.
var client = http.Client{
	Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext},
}

type fact struct {
	FrontendIPAddress string `json:"frontendIpAddress"`
}

// state is the part of the body of /v1/loadbalancer that matters here.
type state struct {
	Status       string `json:"status"`
	LoadBalancer struct {
		PublicIPAddresses []fact `json:"publicIpAddresses"`
		OutboundRules     []fact `json:"outboundRules"`
	} `json:"loadbalancer"`
}

// egressIPs: instance-level addresses come before outbound rules, as in /v1/egress-ips.
func (s state) egressIPs() string {
	facts := s.LoadBalancer.PublicIPAddresses
	if len(facts) == 0 {
		facts = s.LoadBalancer.OutboundRules
	}
	var addresses []string
	for _, fact := range facts {
		addresses = append(addresses, fact.FrontendIPAddress)
	}
	slices.Sort(addresses)
	if len(addresses) == 0 {
		return "none that is known"
	}
	return strings.Join(slices.Compact(addresses), ", ")
}

// follow shows the events of one stream, and returns the id of the last one.
func follow(url, lastID string, show func(state)) (string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return lastID, err
	}
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := client.Do(request)
	if err != nil {
		return lastID, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return lastID, fmt.Errorf("refused: %s", response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, longest)
	id := lastID
	for lines.Scan() {
		watchdog.Reset(silence)
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "id":
			id = value
		case "data":
			var now state
			if err := json.Unmarshal([]byte(value), &now); err != nil {
				return lastID, err
			}
			show(now)
			lastID = id
		}
	}
	return lastID, lines.Err()
}

func main() {
	agent := fallback
	if len(os.Args) > 1 {
		agent = os.Args[1]
	}
	var lastID, shown string
	var err error
	for {
		lastID, err = follow(agent+"/v1/events", lastID, func(now state) {
			line := fmt.Sprintf("%s: leaves from %s", now.Status, now.egressIPs())
			// Most changes are of rules.
			if line != shown {
				fmt.Println(line)
			}
			shown = line
		})
		log.Printf("the stream ended: %v", err)
		time.Sleep(pause)
	}
}
