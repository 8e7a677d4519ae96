// Command oracle answers for the library gopkg.in/macaroon.v2: one JSON object in, one out.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"

	"gopkg.in/macaroon.v2"
)

type order struct {
	RootKey    string   `json:"root_key"`
	Location   string   `json:"location"`
	Identifier string   `json:"identifier"`
	Caveats    []string `json:"caveats"`
}

type presented struct {
	RootKey string `json:"root_key"`
	Token   string `json:"token"`
}

type answers struct {
	Mint  []string  `json:"mint"`
	Judge []*string `json:"judge"`
}

func main() {
	var questions struct {
		Mint  []order     `json:"mint"`
		Judge []presented `json:"judge"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		log.Fatal(err)
	}
	out := answers{Mint: []string{}, Judge: []*string{}}
	for _, o := range questions.Mint {
		token, err := mint(o)
		if err != nil {
			log.Fatal(err)
		}
		out.Mint = append(out.Mint, token)
	}
	for _, p := range questions.Judge {
		var refusal *string
		if err := judge(p); err != nil {
			text := err.Error()
			refusal = &text
		}
		out.Judge = append(out.Judge, refusal)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		log.Fatal(err)
	}
}

func mint(o order) (string, error) {
	key, err := hex.DecodeString(o.RootKey)
	if err != nil {
		return "", err
	}
	identifier, err := hex.DecodeString(o.Identifier)
	if err != nil {
		return "", err
	}
	token, err := macaroon.New(key, identifier, o.Location, macaroon.V2)
	if err != nil {
		return "", err
	}
	for _, caveat := range o.Caveats {
		if err := token.AddFirstPartyCaveat([]byte(caveat)); err != nil {
			return "", err
		}
	}
	bytes, err := token.MarshalBinary()
	return base64.StdEncoding.EncodeToString(bytes), err
}

func judge(p presented) error {
	key, err := hex.DecodeString(p.RootKey)
	if err != nil {
		log.Fatal(err)
	}
	bytes, err := base64.StdEncoding.DecodeString(p.Token)
	if err != nil {
		log.Fatal(err)
	}
	var token macaroon.Macaroon
	if err := token.UnmarshalBinary(bytes); err != nil {
		return err
	}
	return token.Verify(key, func(string) error { return nil }, nil)
}
