// Prints the node's public IP address, and again whenever it changes:
//
//	go run long_poll.go [URL of the agent]
//
// The agent holds a request until there is another answer than the one whose ETag comes with it (RFC 7240,
// "Prefer: wait"), so nothing is sent while nothing changes.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	pause     = time.Second
	nonePause = 5 * time.Second
)

// A node without a ready agent drops packets: without a limit, connecting would take minutes. And unlike
// http.DefaultTransport this one asks no proxy.
var client = http.Client{
	Timeout:   70 * time.Second,
	Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext},
}

// ask asks once, and returns the status, the ETag and the body.
func ask(url, etag string) (int, string, string, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", "", err
	}
	request.Header.Set("Prefer", "wait=60")
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header.Get("ETag"), strings.TrimSpace(string(body)), err
}

func main() {
	agent := "http://azure-lb-metadata.azure-lb-metadata"
	if len(os.Args) > 1 {
		agent = os.Args[1]
	}
	var etag, shown string
	for {
		status, newETag, address, err := ask(agent+"/v1/public-ip", etag)
		switch {
		case err != nil || status >= http.StatusInternalServerError:
			log.Printf("no answer: status %d, error %v", status, err)
			time.Sleep(pause)
			continue
		case status == http.StatusNotModified:
			continue
		case status == http.StatusNotFound:
			address = "none"
		case status != http.StatusOK:
			log.Fatalf("refused: %d %s", status, address)
		}
		etag = newETag
		if address != shown {
			fmt.Println("public IP address:", address)
		}
		shown = address
		if etag == "" {
			// What is not there has no ETag to wait with.
			time.Sleep(nonePause)
		}
	}
}
