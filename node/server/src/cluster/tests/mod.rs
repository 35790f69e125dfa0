//! Tests of the module as a whole: replies held against what Redis 7.0.15 answers, and clusters
//! of drivers on the loopback interface, among themselves and with a stock node.

mod commands;
mod interop;
mod mesh;
mod node;
mod redirects;
mod shapes;
