//! temp
use std::{hint::black_box};
use l402::*;
use hkdf::Hkdf; use sha2::Sha256;
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
 let c=Credential::read([h.as_bytes()].into_iter(), std::iter::empty()).unwrap().unwrap();
 let v=verify(c.clone(),&keys).unwrap();
 let m=std::env::args().nth(1).unwrap();
 for _ in 0..5_000_000 { if m=="all" { let c=Credential::read([black_box(h.as_bytes())].into_iter(), std::iter::empty()).unwrap().unwrap(); let v=verify(c,&keys).unwrap(); let _=black_box(clear(&v,&s,&a)); } else if m=="read" { let _=black_box(Credential::read([black_box(h.as_bytes())].into_iter(), std::iter::empty())); } else { let _=black_box(clear(black_box(&v),&s,&a)); } }
}
