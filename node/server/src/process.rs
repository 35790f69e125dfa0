//! The process: working directory, pid file, running in the background.

use std::io;
use std::path::Path;
