//! The journal as its users meet it: through its public face, across reopening, damage, a full disk and killed writers.

mod damage;
mod documented;
mod full;
mod keeping;
mod killed;
mod laws;
mod leases;
mod spending;
mod support;
