//! Certificates that are trusted beside the system's.

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::ConfigError;

/// A root certificate that is trusted beside the system's, for endpoints behind a private authority.
#[derive(Clone, Eq, PartialEq)]
pub struct RootCertificate(CertificateDer<'static>);

impl RootCertificate {
    /// Every certificate in a PEM file's text.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BadCertificate`] if there is none, or if one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Vec<Self>, ConfigError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).map(|item| item.map(Self)).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(ConfigError::BadCertificate),
        }
    }

    /// One certificate in DER. What it says is checked when a client is built.
    #[must_use]
    pub fn from_der(der: Vec<u8>) -> Self {
        Self(der.into())
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.clone()
    }
}

impl fmt::Debug for RootCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootCertificate({} bytes)", self.0.len())
    }
}
