//! Hostile configurations, inputs and files, and training that is killed: always a documented
//! result, an `Error`, or a documented panic text.

mod configs;
mod constructors;
mod damage;
mod files;
mod hostile;
mod inputs;
#[cfg(unix)]
mod killed;
mod memory;
mod readers;
