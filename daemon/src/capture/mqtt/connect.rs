//! What a broker is connected to with.

use std::path::Path;
use std::sync::Arc;

use inferd_core::Name;
use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::config::{Broker, Mqtt};

/// A connection on which nothing happens is looked after so often, in seconds. One that is dead is told within twice this.
const KEEP_ALIVE_S: u16 = 20;

/// What a packet has beside its message: the topic, at most, and a few bytes.
const HEAD_BYTES: usize = 66_000;

/// Packets that are read at once. They wait in memory: many large ones must not.
const READ_AT_ONCE: usize = 8;

/// For a connection. Files are read anew each time, so that they can be replaced while inferd runs.
///
/// # Errors
/// A sentence: which file cannot be used.
pub(super) fn options(config: &Mqtt, pipeline: &Name) -> Result<MqttOptions, String> {
    let Broker { host, port, tls } =
        config.broker().map_err(|problem| format!("the address of the broker {problem}"))?;
    let random = || format!("inferd-{pipeline}-{:08x}", fastrand::u32(..));
    let mut options =
        MqttOptions::new(config.client_id.clone().unwrap_or_else(random), rumqttc::Broker::tcp(host, port));
    options.set_keep_alive(KEEP_ALIVE_S);
    options.set_clean_session(true);
    options.set_read_batch_size(READ_AT_ONCE);
    options.set_max_packet_size(Mqtt::MAX_MESSAGE_BYTES + HEAD_BYTES, HEAD_BYTES);
    match (&config.username, &config.password_file) {
        (Some(name), Some(file)) => {
            let text = std::fs::read_to_string(file).map_err(|error| unusable("password_file", file, &error))?;
            options.set_credentials(name, text.lines().next().unwrap_or_default().to_owned());
        }
        (Some(name), None) => {
            options.set_username(name);
        }
        (None, _) => {}
    }
    if tls {
        let tls = TlsConfiguration::Rustls(Arc::new(tls_config(config)?));
        options.set_transport(Transport::tls_with_config(tls));
    }
    Ok(options)
}

fn tls_config(config: &Mqtt) -> Result<ClientConfig, String> {
    let failed = |error: rustls::Error| format!("TLS cannot be set up: {error}");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)?;
    let builder = match &config.ca_file {
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("ca_file", file)? {
                roots.add(certificate).map_err(|error| unusable("ca_file", file, &error))?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.with_platform_verifier().map_err(failed)?,
    };
    let (Some(certificate), Some(key)) = (&config.certificate_file, &config.key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("certificate_file", certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("key_file", key, &error))?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| unusable("certificate_file", certificate, &error))
}

/// The certificates of a file, one at least.
fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let certificates: Vec<CertificateDer<'static>> = read.map_err(|error| unusable(key, file, &error))?;
    if certificates.is_empty() {
        return Err(unusable(key, file, &"it holds no certificate in PEM"));
    }
    Ok(certificates)
}

fn unusable(key: &str, file: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("`{key}` {} cannot be used: {problem}", file.display())
}
