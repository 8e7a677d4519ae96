//! temp
use std::{hint::black_box, time::Instant};
use l402::*;
use hkdf::Hkdf; use sha2::{Sha256,Digest};
fn t<T>(n:&str, f: impl Fn()->T){ let mut best=f64::MAX; for _ in 0..50 { let s=Instant::now(); for _ in 0..5000 { black_box(f()); } best=best.min(s.elapsed().as_secs_f64()*1e9/5000.0);} println!("{n:30} {best:.0} ns"); }
struct K(Hkdf<Sha256>);
impl RootKeys for K { fn root_key(&self,id:&Identifier)->Option<RootKey>{ let mut s=[0;32]; self.0.expand(&id.to_bytes(), &mut s).ok()?; Some(RootKey::from_bytes(s)) } }
fn main(){
 let keys=K(Hkdf::new(Some(b"l402/root-key/v1"), &[1;32]));
 let p=Preimage::from_bytes([2;32]);
 let id=Identifier{payment_hash:p.payment_hash(), token_id:TokenId::from_bytes([3;32])};
 let n=|t:&str| Name::try_from(t).unwrap();
 let spec=TokenSpec{service:n("weather"),tier:0,capabilities:vec![],constraints:vec![(n("region"),"eu".into())],valid_until:Some(1700003600)};
 let key=keys.root_key(&id).unwrap();
 let tok=mint(&key,"lsat",&id,&spec).unwrap();
 let h=authorization_value(OfferScheme::L402,&tok,&p);
 let s=Satisfiers::builder(n("weather")).constraint(n("region"),"eu").namespaces(vec![n("weather")]).build();
 let a=Access{service:"weather",tier:0,capability:None,method:"GET",path:"/",client:None,now:1700000000};
 let rd=||Credential::read([h.as_bytes()].into_iter(), std::iter::empty()).unwrap().unwrap();
 t("read", rd);
 let c=rd();
 t("clone cred", ||c.clone());
 t("root_key", ||keys.root_key(black_box(&id)));
 let mut b=[0u8;32]; let _=b; b=[1;32];
 t("RootKey::from_bytes", ||RootKey::from_bytes(black_box(b)));
 t("chain verify", ||c.macaroon().verify(&key));
 t("preimage hash", ||Sha256::digest(black_box(b)));
 let v=verify(c.clone(),&keys).unwrap();
 t("clear", ||clear(black_box(&v),&s,&a));
 let bytes=tok.as_bytes().to_vec();
 t("parse macaroon", ||MacaroonRef::parse(black_box(&bytes),&Limits::default()).is_ok());
 let hx=p.reveal_hex(); t("hex", ||Preimage::from_hex(black_box(hx.as_bytes())));
 let b64=h[5..h.len()-65].to_string(); println!("b64 len {}", b64.len());
 use base64::Engine; t("b64", ||base64::engine::general_purpose::STANDARD.decode(black_box(&b64)));
 t("contains", ||black_box(h.as_bytes()).contains(&b','));
 t("position", ||black_box(h.as_bytes()).iter().position(|&b|b==b','));
 t("alloc", ||vec![0u8;black_box(300)]);
}
