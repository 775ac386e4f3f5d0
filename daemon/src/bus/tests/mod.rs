//! Against a real `dbus-daemon` of our own. Behind the handle stands an owner that the test plays.

mod authority;
mod follow;
mod introspection;
mod methods;
mod rig;
