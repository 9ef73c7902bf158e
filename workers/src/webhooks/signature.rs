//! Signatures of Standard Webhooks 1.0.0 over `id.timestamp.body`: `v1`, an HMAC-SHA256 by the secret, and
//! `v1a`, an Ed25519 signature by its key pair, which receivers verify without knowing the secret.

use base64::{Engine, engine::general_purpose::STANDARD};
use ffapi_projections::webhooks::WebhookKeyPair;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The `webhook-signature` header: one signature of each version per secret, separated by spaces.
pub(super) fn signatures(secrets: &[Vec<u8>], id: &str, timestamp: u64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let symmetric = secrets.iter().filter_map(|secret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(signed.as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    let asymmetric = secrets.iter().map(|secret| {
        let signature = WebhookKeyPair::of(secret).sign(signed.as_bytes());
        format!("v1a,{}", STANDARD.encode(signature))
    });
    symmetric.chain(asymmetric).collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signatures_match_the_specification() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let header = signatures(
            &[secret.clone(), secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        let one = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        // Made by another implementation of Ed25519.
        let other = concat!(
            "v1a,HYu0m/y2wk+JVxJASE/ufJD8IwruTuB42KXWVi6D/XYEfA",
            "El2Cdr6nS+dWEv556+s+LHOW5zQKxXinBFNmQrCA=="
        );
        assert_eq!(header, format!("{one} {one} {other} {other}"));
    }
}
