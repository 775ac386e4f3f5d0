//! Ctrl-C, noticed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;

use anyhow::ensure;
use tokio::signal::unix::{SignalKind, signal};

static CAME: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C and SIGTERM are noted instead of ending the process.
///
/// # Errors
/// Where the system gives no thread.
pub(crate) fn watch() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    // It ends with the process.
    Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                CAME.store(true, Ordering::SeqCst);
            }
        });
    })?;
    Ok(())
}

/// Whether one came.
pub(crate) fn came() -> bool {
    CAME.load(Ordering::SeqCst)
}

/// Ends what is being done where one came.
///
/// # Errors
/// Where one came.
pub(crate) fn check() -> anyhow::Result<()> {
    ensure!(!came(), "interrupted");
    Ok(())
}
