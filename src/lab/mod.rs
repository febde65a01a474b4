//! A simulated API and a load of virtual agents in which causes are planted: the model is pure and runs in virtual time;
//! server and load drive the same model over sockets.
//!
//! - [`scenario`]: what runs. [`surface`]: whose API. [`causes`]: what is wrong.
//! - [`agent`]: what a virtual user does next. [`api`]: what the API decides. Both are state machines that are told the
//!   time.
//! - [`world`]: agents and API in virtual time, and what a proxy between them would have recorded, as columns.
//! - [`server`], [`load`]: the same API and the same agents on real sockets; `wire`: the bytes that both read and write.
//!
//! Nothing here may know how causes are looked for.

pub mod agent;
pub mod api;
pub mod causes;
pub mod evaluate;
pub mod load;
pub mod random;
pub mod request;
pub mod scenario;
pub mod server;
pub mod surface;
pub mod world;

mod wire;
