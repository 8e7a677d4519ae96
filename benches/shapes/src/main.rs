//! `shapes shared|per-core LISTEN_PORT UPSTREAM_PORT`: forwards everything to the upstream, in one of two shapes.

mod per_core;
mod shared;

use std::net::{Ipv4Addr, SocketAddr};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let port = |at: usize| arguments.get(at).and_then(|text| text.parse::<u16>().ok()).expect("a port");
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (listen, upstream) = (address(port(2)), address(port(3)));
    match arguments[1].as_str() {
        "shared" => shared::run(listen, upstream),
        "per-core" => per_core::run(listen, upstream),
        _ => panic!("shared or per-core"),
    }
}
