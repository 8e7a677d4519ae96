//! The examples of BOLT 11 ("11-payment-encoding.md" of the Lightning BOLTs, sections "Examples" and "Examples of
//! Invalid Invoices"), and invoices that its authors did not think of.

#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

use bitcoin::{
    bech32::Fe32,
    hashes::{Hash as _, sha256},
    secp256k1::{Secp256k1, SecretKey},
};
use l402_lightning::{
    INVOICE_CHARS_MAX, Invoice, InvoiceError, InvoiceField, MilliSat, Network, UntrustedText,
};
use lightning_invoice::{
    Currency, InvoiceBuilder, PaymentSecret, RawBolt11Invoice, RawTaggedField, SiPrefix, TaggedField,
};
use proptest::prelude::*;
use std::time::Duration;

/// The key that signed every example.
const PAYEE: &str = "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad";
const HASH: &str = "0001020304050607080900010203040506070809000102030405060708090102";
const WRITTEN_AT: u64 = 1_496_314_658;
const LIST_HASH: &str = "3925b6f67e2c340036ed12093dd44e0368df1b6ea26c53dbe4811f58fd5db8c1";

const DONATION: &str = "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";
const COFFEE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
const NONSENSE: &str = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpquwpc4curk03c9wlrswe78q4eyqc7d8d0xqzpu9qrsgqhtjpauu9ur7fw2thcl4y9vfvh4m9wlfyz2gem29g5ghe2aak2pm3ps8fdhtceqsaagty2vph7utlgj48u0ged6a337aewvraedendscp573dxr";
const LIST: &str = "lnbc20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqhp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqs9qrsgq7ea976txfraylvgzuxs8kgcw23ezlrszfnh8r6qtfpr6cxga50aj6txm9rxrydzd06dfeawfk6swupvz4erwnyutnjq7x39ymw6j38gp7ynn44";
const TESTNET: &str = "lntb20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygshp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqfpp3x9et2e20v6pu37c5d9vax37wxq72un989qrsgqdj545axuxtnfemtpwkc45hx9d2ft7x04mt8q7y6t0k2dge9e7h8kpy9p34ytyslj3yu569aalz2xdk8xkd7ltxqld94u8h2esmsmacgpghe9k8";
const ROUTED: &str = "lnbc20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqhp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqsfpp3qjmp7lwpagxun9pygexvgpjdc4jdj85fr9yq20q82gphp2nflc7jtzrcazrra7wwgzxqc8u7754cdlpfrmccae92qgzqvzq2ps8pqqqqqqpqqqqq9qqqvpeuqafqxu92d8lr6fvg0r5gv0heeeqgcrqlnm6jhphu9y00rrhy4grqszsvpcgpy9qqqqqqgqqqqq7qqzq9qrsgqdfjcdk6w3ak5pca9hwfwfh63zrrz06wwfya0ydlzpgzxkn5xagsqz7x9j4jwe7yj7vaf2k9lqsdk45kts2fd0fkr28am0u4w95tt2nsq76cqw0";
const P2SH: &str = "lnbc20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygshp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqfppj3a24vwu6r8ejrss3axul8rxldph2q7z99qrsgqz6qsgww34xlatfj6e3sngrwfy3ytkt29d2qttr8qz2mnedfqysuqypgqex4haa2h8fx3wnypranf3pdwyluftwe680jjcfp438u82xqphf75ym";
const P2WPKH: &str = "lnbc20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygshp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqfppqw508d6qejxtdg4y5r3zarvary0c5xw7k9qrsgqt29a0wturnys2hhxpner2e3plp6jyj8qx7548zr2z7ptgjjc7hljm98xhjym0dg52sdrvqamxdezkmqg4gdrvwwnf0kv2jdfnl4xatsqmrnsse";
const P2WSH: &str = "lnbc20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygshp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqfp4qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q9qrsgq9vlvyj8cqvq6ggvpwd53jncp9nwc47xlrsnenq2zp70fq83qlgesn4u3uyf4tesfkkwwfg3qs54qe426hp3tz7z6sweqdjg05axsrjqp9yrrwc";
const PICO: &str = "lnbc9678785340p1pwmna7lpp5gc3xfm08u9qy06djf8dfflhugl6p7lgza6dsjxq454gxhj9t7a0sd8dgfkx7cmtwd68yetpd5s9xar0wfjn5gpc8qhrsdfq24f5ggrxdaezqsnvda3kkum5wfjkzmfqf3jkgem9wgsyuctwdus9xgrcyqcjcgpzgfskx6eqf9hzqnteypzxz7fzypfhg6trddjhygrcyqezcgpzfysywmm5ypxxjemgw3hxjmn8yptk7untd9hxwg3q2d6xjcmtv4ezq7pqxgsxzmnyyqcjqmt0wfjjq6t5v4khxsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygsxqyjw5qcqp2rzjq0gxwkzc8w6323m55m4jyxcjwmy7stt9hwkwe2qxmy8zpsgg7jcuwz87fcqqeuqqqyqqqqlgqqqqn3qq9q9qrsgqrvgkpnmps664wgkp43l22qsgdw4ve24aca4nymnxddlnp8vh9v2sdxlu5ywdxefsfvm0fq3sesf08uf6q9a2ke0hc9j6z6wlxg5z5kqpu2v9wz";
const BEANS: &str = "lnbc25m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5vdhkven9v5sxyetpdeessp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9q5sqqqqqqqqqqqqqqqqsgq2a25dxl5hrntdtn6zvydt7d66hyzsyhqs4wdynavys42xgl6sgx9c4g7me86a27t07mdtfry458rtjr0v92cnmswpsjscgt2vcse3sgpz3uapa";
const IGNORED_FIELDS: &str = "lnbc25m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5vdhkven9v5sxyetpdeessp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9q5sqqqqqqqqqqqqqqqqsgq2qrqqqfppnqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqppnqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpp4qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqhpnqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqhp4qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqspnqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqsp4qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqnp5qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqnpkqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqz599y53s3ujmcfjp5xrdap68qxymkqphwsexhmhr8wdz5usdzkzrse33chw6dlp3jhuhge9ley7j2ayx36kawe7kmgg8sv5ugdyusdcqzn8z9x";
const METADATA: &str = "lnbc10m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdp9wpshjmt9de6zqmt9w3skgct5vysxjmnnd9jx2mq8q8a04uqsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9q2gqqqqqqsgq7hf8he7ecf7n4ffphs6awl9t6676rrclv9ckg3d3ncn7fct63p6s365duk5wrk202cfy3aj5xnnp5gs3vrdvruverwwq7yzhkf5a3xqpd05wjc";

const UNKNOWN_FEATURE: &str = "lnbc25m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5vdhkven9v5sxyetpdeessp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9q4psqqqqqqqqqqqqqqqqsgqtqyx5vggfcsll4wu246hz02kp85x4katwsk9639we5n5yngc3yhqkm35jnjw4len8vrnqnf5ejh0mzj9n3vz2px97evektfm2l6wqccp3y7372";
const BAD_CHECKSUM: &str = "lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpquwpc4curk03c9wlrswe78q4eyqc7d8d0xqzpuyk0sg5g70me25alkluzd2x62aysf2pyy8edtjeevuv4p2d5p76r4zkmneet7uvyakky2zr4cusd45tftc9c5fh0nnqpnl2jfll544esqchsrnt";
const NO_PREFIX: &str = "pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpquwpc4curk03c9wlrswe78q4eyqc7d8d0xqzpuyk0sg5g70me25alkluzd2x62aysf2pyy8edtjeevuv4p2d5p76r4zkmneet7uvyakky2zr4cusd45tftc9c5fh0nnqpnl2jfll544esqchsrny";
const MIXED_CASE: &str = "LNBC2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpquwpc4curk03c9wlrswe78q4eyqc7d8d0xqzpuyk0sg5g70me25alkluzd2x62aysf2pyy8edtjeevuv4p2d5p76r4zkmneet7uvyakky2zr4cusd45tftc9c5fh0nnqpnl2jfll544esqchsrny";
const UNRECOVERABLE: &str = "lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpusp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9qrsgqwgt7mcn5yqw3yx0w94pswkpq6j9uh6xfqqqtsk4tnarugeektd4hg5975x9am52rz4qskukxdmjemg92vvqz8nvmsye63r5ykel43pgz7zq0g2";
const TOO_SHORT: &str = "lnbc1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6na6hlh";
const BAD_MULTIPLIER: &str = "lnbc2500x1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpusp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9qrsgqrrzc4cvfue4zp3hggxp47ag7xnrlr8vgcmkjxk3j5jqethnumgkpqp23z9jclu3v0a7e0aruz366e9wqdykw6dxhdzcjjhldxq0w6wgqcnu43j";
const SUB_MSAT: &str = "lnbc2500000001p1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpusp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygs9qrsgq0lzc236j96a95uv0m3umg28gclm5lqxtqqwk32uuk4k6673k6n5kfvx3d2h8s295fad45fdhmusm8sjudfhlf6dcsxmfvkeywmjdkxcp99202x";
const NO_SECRET: &str = "lnbc20m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqhp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqs9qrsgq7ea976txfraylvgzuxs8kgcw23ezlrszfnh8r6qtfpr6cxga50aj6txm9rxrydzd06dfeawfk6swupvz4erwnyutnjq7x39ymw6j38gp49qdkj";

/// Fields that an example is about; the others are the same in all of them.
struct Example {
    text: &'static str,
    network: Network,
    msat: Option<u64>,
    description: Option<&'static str>,
    expiry_secs: u64,
}

const fn example(text: &'static str, msat: Option<u64>, description: Option<&'static str>) -> Example {
    Example { text, network: Network::Mainnet, msat, description, expiry_secs: 3_600 }
}

#[test]
fn the_valid_examples_of_bolt_11_are_read() {
    let examples = [
        example(DONATION, None, Some("Please consider supporting this project")),
        Example { expiry_secs: 60, ..example(COFFEE, Some(250_000_000), Some("1 cup coffee")) },
        Example { expiry_secs: 60, ..example(NONSENSE, Some(250_000_000), Some("ナンセンス 1杯")) },
        example(LIST, Some(2_000_000_000), None),
        Example { network: Network::Testnet, ..example(TESTNET, Some(2_000_000_000), None) },
        example(ROUTED, Some(2_000_000_000), None),
        example(P2SH, Some(2_000_000_000), None),
        example(P2WPKH, Some(2_000_000_000), None),
        example(P2WSH, Some(2_000_000_000), None),
        example(BEANS, Some(2_500_000_000), Some("coffee beans")),
        example(IGNORED_FIELDS, Some(2_500_000_000), Some("coffee beans")),
        example(METADATA, Some(1_000_000_000), Some("payment metadata inside")),
    ];
    for example in examples {
        let invoice =
            Invoice::parse(example.text).unwrap_or_else(|error| panic!("{}: {error}", example.text));
        assert_eq!(invoice.text(), example.text);
        assert_eq!(invoice.network(), example.network, "{}", example.text);
        assert_eq!(invoice.amount().map(MilliSat::as_msat), example.msat, "{}", example.text);
        assert_eq!(invoice.description().map(UntrustedText::as_raw), example.description, "{}", example.text);
        assert_eq!(invoice.expiry_secs(), example.expiry_secs, "{}", example.text);
        assert_eq!(invoice.payment_hash().to_string(), HASH, "{}", example.text);
        assert_eq!(invoice.payee().to_string(), PAYEE, "{}", example.text);
        assert_eq!(invoice.created_at(), WRITTEN_AT, "{}", example.text);
        assert_eq!(invoice.payment_secret(), &[0x11; 32], "{}", example.text);
        if example.description.is_none() {
            assert_eq!(invoice.description_hash().map(hex::encode).as_deref(), Some(LIST_HASH));
        }
    }
}

#[test]
fn an_amount_in_picobitcoin_and_a_week_of_expiry_are_read() {
    let invoice = Invoice::parse(PICO).unwrap();
    assert_eq!(invoice.amount(), Some(MilliSat::from_msat(967_878_534)));
    assert_eq!(invoice.expires_at(), 1_572_468_703 + 604_800);
    assert_eq!(invoice.min_final_cltv_expiry(), 10);
    assert_eq!(
        invoice.payment_hash().to_string(),
        "462264ede7e14047e9b249da94fefc47f41f7d02ee9b091815a5506bc8abf75f"
    );
}

#[test]
fn upper_case_is_the_same_invoice() {
    let (lower, upper) = (Invoice::parse(BEANS).unwrap(), Invoice::parse(&BEANS.to_uppercase()).unwrap());
    assert_eq!(lower.payee(), upper.payee());
    assert_eq!(lower.payment_hash(), upper.payment_hash());
}

#[test]
fn the_invalid_examples_of_bolt_11_are_refused() {
    for (text, error) in [
        (UNKNOWN_FEATURE, InvoiceError::Features),
        (BAD_CHECKSUM, InvoiceError::Checksum),
        (NO_PREFIX, InvoiceError::Checksum),
        (MIXED_CASE, InvoiceError::Checksum),
        (UNRECOVERABLE, InvoiceError::Signature),
        (TOO_SHORT, InvoiceError::Malformed),
        (BAD_MULTIPLIER, InvoiceError::Amount),
        (SUB_MSAT, InvoiceError::SubMilliSatoshi),
        (NO_SECRET, InvoiceError::Missing(InvoiceField::PaymentSecret)),
    ] {
        assert_eq!(Invoice::parse(text), Err(error), "{text}");
    }
}

#[test]
fn an_invoice_expires_when_its_time_is_over_and_not_before() {
    let invoice = Invoice::parse(COFFEE).unwrap();
    assert!(!invoice.is_expired(WRITTEN_AT) && !invoice.is_expired(WRITTEN_AT + 59));
    assert!(invoice.is_expired(WRITTEN_AT + 60) && invoice.is_expired(u64::MAX));
}

#[test]
fn text_beyond_the_limit_is_not_looked_at() {
    assert_eq!(Invoice::parse(&"q".repeat(INVOICE_CHARS_MAX + 1)), Err(InvoiceError::TooLong));
}

#[test]
fn amounts_that_no_payment_can_carry_are_refused() {
    let with_amount = |number, prefix| {
        let mut raw = raw();
        (raw.hrp.raw_amount, raw.hrp.si_prefix) = (Some(number), prefix);
        Invoice::parse(&signed(raw, 1)).map(|invoice| invoice.amount())
    };
    assert_eq!(with_amount(21_000_000, None), Ok(MilliSat::from_sat(2_100_000_000_000_000)));
    assert_eq!(with_amount(10, Some(SiPrefix::Pico)), Ok(Some(MilliSat::from_msat(1))));
    assert_eq!(with_amount(9, Some(SiPrefix::Pico)), Err(InvoiceError::SubMilliSatoshi));
    assert_eq!(with_amount(0, None), Err(InvoiceError::AmountZero));
    assert_eq!(with_amount(0, Some(SiPrefix::Milli)), Err(InvoiceError::AmountZero));
    assert_eq!(with_amount(184_467_440, None).map(|amount| amount.is_some()), Ok(true));
    assert_eq!(with_amount(184_467_441, None), Err(InvoiceError::AmountTooLarge));
    assert_eq!(with_amount(u64::MAX, None), Err(InvoiceError::AmountTooLarge));
}

#[test]
fn a_signature_must_be_that_of_the_named_payee() {
    let secp = Secp256k1::new();
    let named = |key: u8| {
        let mut raw = raw();
        let payee = SecretKey::from_slice(&[key; 32]).unwrap().public_key(&secp);
        raw.data.tagged_fields.push(TaggedField::PayeePubKey(payee.into()).into());
        raw
    };
    let invoice = Invoice::parse(&signed(named(1), 1)).unwrap();
    assert_eq!(invoice.payee(), Invoice::parse(&signed(raw(), 1)).unwrap().payee());
    assert_eq!(Invoice::parse(&signed(named(2), 1)), Err(InvoiceError::Signature));
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let doubled = |pick: fn(&TaggedField) -> bool| {
        let mut raw = raw();
        let field = raw.data.tagged_fields.iter().find(|field| match field {
            RawTaggedField::KnownSemantics(field) => pick(field),
            RawTaggedField::UnknownSemantics(_) => false,
        });
        let field = field.unwrap().clone();
        raw.data.tagged_fields.push(field);
        Invoice::parse(&signed(raw, 1)).unwrap_err()
    };
    let is = InvoiceError::Repeated;
    assert_eq!(doubled(|field| matches!(field, TaggedField::PaymentHash(_))), is(InvoiceField::PaymentHash));
    assert_eq!(
        doubled(|field| matches!(field, TaggedField::PaymentSecret(_))),
        is(InvoiceField::PaymentSecret)
    );
    assert_eq!(doubled(|field| matches!(field, TaggedField::Description(_))), is(InvoiceField::Description));
    assert_eq!(doubled(|field| matches!(field, TaggedField::ExpiryTime(_))), is(InvoiceField::Expiry));
    assert_eq!(
        doubled(|field| matches!(field, TaggedField::MinFinalCltvExpiryDelta(_))),
        is(InvoiceField::MinFinalCltvExpiry)
    );
    assert_eq!(doubled(|field| matches!(field, TaggedField::Features(_))), is(InvoiceField::Features));
}

#[test]
fn an_expiry_with_leading_zeros_is_refused() {
    // Tag 6, two characters long: 0 and 28, which is 28 seconds with a zero in front.
    let padded = [6, 0, 2, 0, 28].map(|value| Fe32::try_from(value).unwrap());
    let mut raw = raw();
    raw.data
        .tagged_fields
        .retain(|field| !matches!(field, RawTaggedField::KnownSemantics(TaggedField::ExpiryTime(_))));
    raw.data.tagged_fields.push(RawTaggedField::UnknownSemantics(padded.to_vec()));
    assert_eq!(Invoice::parse(&signed(raw, 1)), Err(InvoiceError::NotCanonical));
}

/// An invoice to be made wrong.
fn raw() -> RawBolt11Invoice {
    InvoiceBuilder::new(Currency::Regtest)
        .description("one request".to_owned())
        .payment_hash(sha256::Hash::hash(b"one preimage"))
        .payment_secret(PaymentSecret([7; 32]))
        .duration_since_epoch(Duration::from_secs(WRITTEN_AT))
        .min_final_cltv_expiry_delta(18)
        .expiry_time(Duration::from_mins(10))
        .amount_milli_satoshis(10_000)
        .build_raw()
        .unwrap()
}

/// Signs with the key of 32 bytes `key`.
fn signed(raw: RawBolt11Invoice, key: u8) -> String {
    let (secp, key) = (Secp256k1::new(), SecretKey::from_slice(&[key; 32]).unwrap());
    raw.sign(|digest| Ok::<_, ()>(secp.sign_ecdsa_recoverable(digest, &key))).unwrap().to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_an_invoice_or_an_error(text: String) {
        prop_assert!(Invoice::parse(&text).is_err());
    }

    #[test]
    fn a_changed_character_never_goes_unnoticed(at in 0..COFFEE.len(), to in "[ -~]") {
        let mut text = COFFEE.to_owned();
        text.replace_range(at..=at, &to);
        prop_assert_eq!(Invoice::parse(&text).is_ok(), text == COFFEE);
    }

    #[test]
    fn changed_data_under_a_right_checksum_keeps_payee_and_meaning_apart(at in 0_usize..60, to in 0_u8..32) {
        // Whoever changes the data and mends the checksum is a different payee, or nobody.
        let (hrp, data) = raw().to_raw();
        let mut changed = data.clone();
        let at = at % data.len();
        changed[at] = Fe32::try_from(to).unwrap();
        let original = Invoice::parse(&signed(raw(), 1)).unwrap();
        if changed != data
            && let Ok(forged) = RawBolt11Invoice::from_raw(&hrp, &changed)
            && forged != raw()
        {
            let (secp, key) = (Secp256k1::new(), SecretKey::from_slice(&[1; 32]).unwrap());
            let old = raw().sign(|digest| Ok::<_, ()>(secp.sign_ecdsa_recoverable(digest, &key))).unwrap();
            let signature = old.signature().0;
            let text = forged.sign(|_| Ok::<_, ()>(signature)).unwrap().to_string();
            if let Ok(invoice) = Invoice::parse(&text) {
                prop_assert_ne!(invoice.payee(), original.payee());
            }
        }
    }
}
