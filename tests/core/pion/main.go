// Speaks STUN as pion does, for a test that compares codecs: a line in, a line out.
//
//	decode HEX                          the address, error CODE "REASON", or malformed
//	encode ID ADDRESS PORT SOFTWARE     a success response in HEX
//	request HEX                         the transaction ID of a Binding request, or malformed
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/pion/stun/v2"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		words := strings.Split(lines.Text(), " ")
		switch words[0] {
		case "decode":
			fmt.Fprintln(out, decode(words[1]))
		case "encode":
			fmt.Fprintln(out, encode(words[1], words[2], words[3], words[4]))
		case "request":
			fmt.Fprintln(out, request(words[1]))
		}
	}
}

func decode(text string) string {
	message, err := parsed(text)
	if err != nil {
		return "malformed"
	}
	if message.Type == stun.BindingError {
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(message); err != nil {
			return "malformed"
		}
		return fmt.Sprintf("error %d %q", code.Code, code.Reason)
	}
	var seen stun.XORMappedAddress
	if message.Type != stun.BindingSuccess || seen.GetFrom(message) != nil {
		return "malformed"
	}
	return seen.IP.String()
}

func encode(id, address, port, software string) string {
	number, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	var transaction [stun.TransactionIDSize]byte
	if _, err := hex.Decode(transaction[:], []byte(id)); err != nil {
		panic(err)
	}
	message, err := stun.Build(
		stun.NewTransactionIDSetter(transaction),
		stun.BindingSuccess,
		stun.NewSoftware(software),
		&stun.XORMappedAddress{IP: net.ParseIP(address), Port: number},
		stun.Fingerprint,
	)
	if err != nil {
		panic(err)
	}
	return hex.EncodeToString(message.Raw)
}

func request(text string) string {
	message, err := parsed(text)
	if err != nil || message.Type != stun.BindingRequest || len(message.Attributes) != 0 {
		return "malformed"
	}
	return hex.EncodeToString(message.TransactionID[:])
}

func parsed(text string) (*stun.Message, error) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	message := new(stun.Message)
	return message, stun.Decode(raw, message)
}
