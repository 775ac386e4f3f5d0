//! One file per kind of object. Getters read the state that is being shown; methods check, ask for authority, and hand
//! a command over. The documentation comments of members are what introspection shows and `docs/dbus` keeps.

mod job;
mod manager;
mod model;
mod pipeline;
mod spool;

use std::collections::BTreeMap;

use zbus::Variant;

pub(super) use job::JobObject;
pub(super) use manager::ManagerObject;
pub(super) use model::ModelObject;
pub(super) use pipeline::PipelineObject;
pub(super) use spool::SpoolObject;

/// `a{sv}`, in the order of its keys.
type Dictionary = BTreeMap<&'static str, Variant<'static>>;
