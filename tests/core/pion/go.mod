module azure-lb-metadata.invalid/tests/core/pion

go 1.19

require github.com/pion/stun/v3 v3.0.0

require (
	github.com/pion/dtls/v3 v3.0.1 // indirect
	github.com/pion/logging v0.2.2 // indirect
	github.com/pion/transport/v3 v3.0.7 // indirect
	github.com/wlynxg/anet v0.0.3 // indirect
	golang.org/x/crypto v0.25.0 // indirect
	golang.org/x/sys v0.22.0 // indirect
)
