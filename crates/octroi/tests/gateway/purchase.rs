//! 402, pay, 200; and that a refusal ends the request.

use crate::{
    caller::{get_once, paid},
    stage::{Stage, both, everything},
};
use testkit::{Reply, Upstream};

#[tokio::test]
async fn a_request_is_refused_paid_for_and_served() {
    let upstream = Upstream::start(Reply::text("sunny"));
    let stage = Stage::of(everything(&upstream.url())).await;
    let refused = get_once(stage.address(), "/today").await;
    assert_eq!((refused.status.as_u16(), refused.reason().as_str()), (402, "payment_required"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert_eq!(upstream.count(), 0);
    let credential = stage.pay(&refused).await.credential();
    for mut caller in both(stage.address()).await {
        for _ in 0..3 {
            let served = caller.ask(paid("/today?x=1", &credential)).await;
            assert_eq!((served.status.as_u16(), served.text()), (200, "sunny"));
            assert_eq!(served.header("cache-control"), Some("private"));
            assert_eq!(served.header("www-authenticate"), None);
        }
    }
    assert_eq!(upstream.count(), 6);
}
