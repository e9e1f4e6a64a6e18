//! The watcher on the instance: sees the notice, tells the Lambda, lets the workload drain.
//!
//! One thread, one loop, no runtime. [`watch::run`] is the loop; everything else here is a part of it that can be tested alone.
//! No error ends the process: the only ways out are "this is not a spot instance", a wrong command line, and a signal.

pub mod cloud_names;
pub mod credentials;
pub mod drain;
pub mod http;
pub mod imds;
pub mod json;
pub mod log;
pub mod marks;
pub mod message;
pub mod ready;
pub mod settings;
pub mod sigv4;
pub mod sns;
pub mod time;
pub mod tls;
pub mod url;
pub mod watch;
