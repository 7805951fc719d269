//! Whom a server's certificate has to be signed by: the system's roots, read when the first server shows one.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// The platform's verifier, not made before it is needed.
///
/// A system keeps some hundred roots in as many files. A program that looks at its configuration, or that only ever asks a
/// cassette, has no use for them, and should neither wait for them nor hold them.
#[derive(Debug)]
pub(crate) struct Trust {
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Verifier, Error>>,
}

impl Trust {
    /// Trusts the system's roots and `extra`.
    ///
    /// # Errors
    ///
    /// If one of `extra` is no certificate. That the system has roots at all is seen at the first handshake.
    pub(crate) fn new(
        extra: impl Iterator<Item = CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let extra: Vec<_> = extra.collect();
        let mut checked = RootCertStore::empty();
        for root in &extra {
            checked.add(root.clone())?;
        }
        Ok(Self { extra, provider, verifier: OnceLock::new() })
    }

    fn verifier(&self) -> Result<&Verifier, Error> {
        let made = self.verifier.get_or_init(|| {
            let made = Verifier::new_with_extra_roots(self.extra.iter().cloned(), Arc::clone(&self.provider));
            made.map_err(|error| {
                Error::General(format!("{error}; install them, or set root_certificates to the authority's own"))
            })
        });
        made.as_ref().map_err(Error::clone)
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use rustls::crypto::ring;

    use super::*;

    #[test]
    fn the_roots_are_not_read_before_a_server_shows_a_certificate() {
        let trust = Trust::new(iter::empty(), Arc::new(ring::default_provider())).expect("nothing is asked for");
        assert!(!trust.supported_verify_schemes().is_empty());
        assert!(trust.verifier.get().is_none());

        let shown = CertificateDer::from(vec![0]);
        let name = ServerName::try_from("example.org").expect("a name");
        assert!(trust.verify_server_cert(&shown, &[], &name, &[], UnixTime::now()).is_err());
        assert!(trust.verifier.get().is_some());
    }

    #[test]
    fn an_extra_root_that_is_no_certificate_is_refused_at_once() {
        let nonsense = CertificateDer::from(b"not a certificate".to_vec());
        assert!(Trust::new(iter::once(nonsense), Arc::new(ring::default_provider())).is_err());
    }
}
