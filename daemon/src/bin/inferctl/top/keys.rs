//! Keys, and what each is for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Leave,
    Up,
    Down,
    /// More of the chosen pipeline, or the list again.
    Details,
    /// Back to the list; leaves from there.
    Back,
    Pause,
    Sort,
    Help,
    /// Nothing but to draw again: the terminal has another size.
    Redraw,
}

/// Each with what it does, as the help shows them.
pub(super) const HELP: [(&str, &str); 7] = [
    ("up, down, k, j", "choose a pipeline"),
    ("Enter, space", "more of the chosen one, and back"),
    ("s", "sort by name, rate, latency, uncertain"),
    ("p", "pause: what is shown stays"),
    ("?, h", "this page"),
    ("Esc", "back to the list"),
    ("q, Ctrl-C", "leave"),
];

/// What an event asks for, if anything.
pub(super) fn meaning(event: &Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => pressed(*key),
        _ => None,
    }
}

fn pressed(key: KeyEvent) -> Option<Key> {
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Leave,
        KeyCode::Char('q') => Key::Leave,
        KeyCode::Esc => Key::Back,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::Enter | KeyCode::Char(' ') => Key::Details,
        KeyCode::Char('p') => Key::Pause,
        KeyCode::Char('s') => Key::Sort,
        KeyCode::Char('?' | 'h') => Key::Help,
        _ => return None,
    })
}

/// A thread that reads the terminal, `keys`; it ends within [`LOOK`] of this being dropped. Queue: 16 keys; a thread that finds it
/// full waits, and the terminal keeps what is typed.
pub(super) struct Keys {
    keys: mpsc::Receiver<Key>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How long the terminal is waited for before looking whether to end.
const LOOK: Duration = Duration::from_millis(100);

impl Keys {
    pub(super) fn read() -> io::Result<Self> {
        let (sender, keys) = mpsc::channel(16);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Builder::new().name("keys".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // A terminal that is gone gives errors for ever.
                let Ok(ready) = event::poll(LOOK) else { return };
                if !ready {
                    continue;
                }
                let Ok(event) = event::read() else { return };
                if let Some(key) = meaning(&event)
                    && sender.blocking_send(key).is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Self { keys, stop, thread: Some(thread) })
    }

    /// The next key; `None` once the terminal is gone.
    pub(super) async fn next(&mut self) -> Option<Key> {
        self.keys.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.keys.close();
        if let Some(thread) = self.thread.take() {
            // It does not panic on what is typed.
            let _ = thread.join();
        }
    }
}
