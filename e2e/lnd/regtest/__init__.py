"""A private Lightning network on loopback: btcd on regtest and some lnds, TLS and macaroons on."""
