//! Tests of the view: the named cases, the properties, names, and what it costs.

mod cost;
mod named;
mod names;
mod posix;
mod random;
mod raw;
mod world;
