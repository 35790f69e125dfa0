//! What the fuzz targets check. Each takes any bytes and panics if a promise is broken.

mod bus;
#[cfg(feature = "config")]
mod config;
mod nodes_conf;
mod rdb;
mod replication;
mod resp;

pub use bus::bus;
#[cfg(feature = "config")]
pub use config::config;
pub use nodes_conf::nodes_conf;
pub use rdb::rdb;
pub use replication::replication;
pub use resp::resp;
