//! Being written: see api.rs for the contract.
