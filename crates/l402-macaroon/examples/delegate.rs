//! A photo shop hands out tokens, a customer passes a narrower one on to a printer, and the shop checks what comes
//! back. Run it with `cargo run -p l402-macaroon --example delegate`.

use l402_macaroon::{Limits, Macaroon, MacaroonRef, RootKey};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    // The shop. Its key would be random and kept in a file that only it can read.
    let key = RootKey::from_bytes([7; 32]);
    let token = Macaroon::mint(&key, "https://photos.example/", b"customer 17", ["album=holiday"])?;
    println!("shop to customer:    {} bytes", token.as_bytes().len());

    // The customer. No key, no call to the shop.
    let for_printer = token.attenuate(b"action=read")?.attenuate(b"until=1700000000")?;
    println!("customer to printer: {} bytes", for_printer.as_bytes().len());

    // The shop again: first the bytes, then who made them, then what they allow.
    let presented = MacaroonRef::parse(for_printer.as_bytes(), &Limits::default())?;
    presented.verify(&key)?;
    let request = ["album=holiday", "action=read", "until=1700000000"];
    let is_allowed =
        presented.caveats().all(|caveat| request.iter().any(|part| part.as_bytes() == caveat.identifier));
    println!("printer reads:       {}", if is_allowed { "allowed" } else { "refused" });

    // The printer edits its token.
    let mut edited = for_printer.as_bytes().to_vec();
    edited[40] ^= 1;
    let refusal = match MacaroonRef::parse(&edited, &Limits::default()) {
        Ok(edited) => edited.verify(&key).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    println!("edited by one bit:   {refusal:?}");
    Ok(())
}
