//! A connection to a broker, from which messages of one topic come.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS, SubscribeReasonCode};
use tokio::runtime::{Builder, Runtime};

use super::explain::explain;
use crate::capture::live::{Feed, Patience, Trouble};
use crate::config::Mqtt;
use crate::host::wake::AsyncBell;

/// How long connecting and subscribing may take.
const CONNECT: Duration = Duration::from_secs(15);

/// Requests to the broker that wait; there is one.
const REQUESTS: usize = 4;

/// What wakes the connection where nothing else does: looking is cheap.
const LOOK: Duration = Duration::from_secs(60);

/// A broker that has confirmed the topic.
pub(in crate::capture) struct Session {
    line: String,
    topic: String,
    events: EventLoop,
    /// While it lives, the broker is listened to.
    _client: AsyncClient,
    /// What had come before the connection broke, and why it did.
    rest: VecDeque<Packet>,
    broken: Option<String>,
    stopping: AsyncBell,
    /// Last: what is above belongs to it.
    runtime: Detached,
}

impl Session {
    /// Connects and subscribes.
    ///
    /// # Errors
    /// [`Trouble`] where the broker is away or says no.
    pub(super) fn open(config: &Mqtt, options: MqttOptions, feed: &mut Feed) -> Result<Self, Trouble> {
        let line = config.shown();
        let no_system = |error: io::Error| Trouble::passing(format_args!("{line} cannot be waited for: {error}"));
        let runtime = Detached::new().map_err(no_system)?;
        let stopping = {
            let _entered = runtime.get().enter();
            feed.stopping().to_async().map_err(no_system)?
        };
        let (client, mut events) = AsyncClient::builder(options)
            .capacity(REQUESTS)
            .try_build()
            .map_err(|error| Trouble::passing(format_args!("{line} cannot be connected to: {error}")))?;
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT.as_secs());
        events.set_network_options(network);
        let qos = match config.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let asked = client.try_subscribe(config.topic.as_str(), qos);
        asked.map_err(|error| Trouble::passing(format_args!("{line} cannot be asked for a topic: {error}")))?;
        let topic = config.topic.clone();
        let (rest, broken) = (VecDeque::new(), None);
        let mut session = Self { line, topic, events, _client: client, rest, broken, stopping, runtime };
        session.wait_for_consent(feed)?;
        Ok(session)
    }

    /// The next message of the topic; `None` where the patience is over. Where none is there yet, `idle` is called before it is
    /// waited for.
    ///
    /// # Errors
    /// [`Trouble`] where none will come, and that of `idle`.
    pub(super) fn next_message(
        &mut self,
        patience: &Patience<'_>,
        feed: &mut Feed,
        mut idle: impl FnMut(&mut Feed) -> Result<(), Trouble>,
    ) -> Result<Option<Publish>, Trouble> {
        loop {
            match self.next(patience, feed, &mut idle)? {
                None => return Ok(None),
                Some(Packet::Publish(message)) if !message.retain => return Ok(Some(message)),
                Some(_) => {}
            }
        }
    }

    fn wait_for_consent(&mut self, feed: &mut Feed) -> Result<(), Trouble> {
        let interrupts = feed.interrupts();
        let patience = interrupts.patience(CONNECT);
        loop {
            match self.next(&patience, feed, &mut |_| Ok(()))? {
                None => {
                    let (line, for_s) = (&self.line, CONNECT.as_secs());
                    return Err(Trouble::passing(format_args!("{line} has not answered for {for_s} s")));
                }
                Some(Packet::SubAck(answer)) if answer.return_codes.contains(&SubscribeReasonCode::Failure) => {
                    let Self { line, topic, .. } = self;
                    return Err(Trouble::passing(format_args!(
                        "{line} does not let this client read {topic}: allow it there (access control list)"
                    )));
                }
                Some(Packet::SubAck(_)) => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// The next packet; `None` where the patience is over. What goes out and what keeps the connection alive is done by the way.
    fn next(
        &mut self,
        patience: &Patience<'_>,
        feed: &mut Feed,
        idle: &mut impl FnMut(&mut Feed) -> Result<(), Trouble>,
    ) -> Result<Option<Packet>, Trouble> {
        if let Some(packet) = self.rest.pop_front() {
            return Ok(Some(packet));
        }
        if let Some(problem) = self.broken.take() {
            return Err(Trouble::Passing(problem));
        }
        let Self { line, events, stopping, runtime, rest, broken, .. } = self;
        runtime.get().block_on(async {
            loop {
                // A connection on which there is always something must not keep a pipeline from stopping either.
                if feed.is_stopped() {
                    return Err(Trouble::Stopped);
                }
                if patience.is_over() {
                    return Ok(None);
                }
                match poll_once(events, stopping, patience, feed, idle).await? {
                    None => return Ok(None),
                    Some(Ok(Event::Incoming(packet))) => return Ok(Some(packet)),
                    Some(Ok(Event::Outgoing(_))) => {}
                    Some(Err(error)) => {
                        // What was read together with the end is whole.
                        rest.extend(events.state.events.drain(..).filter_map(incoming));
                        let problem = explain(line, &error);
                        return match rest.pop_front() {
                            None => Err(Trouble::Passing(problem)),
                            first => {
                                *broken = Some(problem);
                                Ok(first)
                            }
                        };
                    }
                }
            }
        })
    }

    /// What is waited for, for people.
    pub(super) fn awaited(&self) -> String {
        format!("on {}, by {}", self.topic, self.line)
    }
}

fn incoming(event: Event) -> Option<Packet> {
    match event {
        Event::Incoming(packet) => Some(packet),
        Event::Outgoing(_) => None,
    }
}

/// What the connection gives next, unless the patience is over: `None`.
async fn poll_once(
    events: &mut EventLoop,
    stopping: &AsyncBell,
    patience: &Patience<'_>,
    feed: &mut Feed,
    idle: &mut impl FnMut(&mut Feed) -> Result<(), Trouble>,
) -> Result<Option<Result<Event, rumqttc::ConnectionError>>, Trouble> {
    // Once begun it is waited for to its end: nothing says that a part of a packet outlives it.
    let mut coming = pin!(events.poll());
    match poll_fn(|context| Poll::Ready(coming.as_mut().poll(context))).await {
        Poll::Ready(come) => Ok(Some(come)),
        Poll::Pending => {
            idle(feed)?;
            either(coming, stopping, patience, feed).await
        }
    }
}

/// What comes, unless the patience is over: `None`.
async fn either<T>(
    mut coming: Pin<&mut impl Future<Output = T>>,
    stopping: &AsyncBell,
    patience: &Patience<'_>,
    feed: &Feed,
) -> Result<Option<T>, Trouble> {
    loop {
        if feed.rests() {
            return Err(Trouble::Resting);
        }
        let _waiting = feed.attendance().wait();
        tokio::select! {
            biased;
            () = stopping.rings() => return Err(Trouble::Stopped),
            come = &mut coming => return Ok(Some(come)),
            () = tokio::time::sleep(patience.part().unwrap_or(LOOK)) => {
                if patience.is_over() {
                    return Ok(None);
                }
            }
        }
    }
}

/// A runtime that is let go of without waiting: a name that is being looked up takes its time.
struct Detached(Option<Runtime>);

impl Detached {
    fn new() -> io::Result<Self> {
        // A thread for looking up names, while that is done.
        let runtime =
            Builder::new_current_thread().enable_all().thread_name("mqtt-names").max_blocking_threads(1).build()?;
        Ok(Self(Some(runtime)))
    }

    fn get(&self) -> &Runtime {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
