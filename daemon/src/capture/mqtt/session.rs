//! A connection to a broker, from which messages of one topic come.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, Publish, QoS,
    SubscribeReasonCode,
};
use tokio::runtime::{Builder, Runtime};

use crate::capture::live::{Feed, Patience, Trouble};
use crate::config::Mqtt;
use crate::host::wake::AsyncBell;

/// How long connecting and subscribing may take.
const CONNECT: Duration = Duration::from_secs(15);

/// Requests to the broker that wait; there is one.
const REQUESTS: usize = 4;

/// A broker that has confirmed the topic.
pub(in crate::capture) struct Session {
    line: String,
    topic: String,
    events: EventLoop,
    /// While it lives, the broker is listened to.
    _client: AsyncClient,
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
            let _entered = runtime.0.as_ref().map(Runtime::enter);
            feed.stopping().to_async().map_err(no_system)?
        };
        let (client, events) = AsyncClient::builder(options)
            .capacity(REQUESTS)
            .try_build()
            .map_err(|error| Trouble::passing(format_args!("{line} cannot be connected to: {error}")))?;
        let qos = match config.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let asked = client.try_subscribe(config.topic.as_str(), qos);
        asked.map_err(|error| Trouble::passing(format_args!("{line} cannot be asked for a topic: {error}")))?;
        let topic = config.topic.clone();
        let mut session = Self { line, topic, events, _client: client, stopping, runtime };
        session.wait_for_consent(feed)?;
        Ok(session)
    }

    /// The next message of the topic; `silence` is how long there may be none, zero for ever. Where none is there yet, `idle`
    /// is called before it is waited for.
    ///
    /// # Errors
    /// [`Trouble`] where none comes, and that of `idle`.
    pub(super) fn next_message(
        &mut self,
        silence: Duration,
        feed: &mut Feed,
        mut idle: impl FnMut(&mut Feed) -> Result<(), Trouble>,
    ) -> Result<Publish, Trouble> {
        let interrupts = feed.interrupts();
        let patience = interrupts.patience(silence);
        loop {
            match self.next(&patience, feed, &mut idle)? {
                None => {
                    let (Self { line, topic, .. }, for_s) = (self, silence.as_secs_f64());
                    return Err(Trouble::passing(format_args!("no row has come on {topic} for {for_s} s, by {line}")));
                }
                Some(Packet::Publish(message)) if !message.retain => return Ok(message),
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

    /// The next packet; `None` where none came in time. What goes out and what keeps the connection alive is done by the way.
    fn next(
        &mut self,
        patience: &Patience<'_>,
        feed: &mut Feed,
        idle: &mut impl FnMut(&mut Feed) -> Result<(), Trouble>,
    ) -> Result<Option<Packet>, Trouble> {
        let Self { line, events, stopping, runtime, .. } = self;
        let Some(runtime) = &runtime.0 else { return Err(Trouble::Stopped) };
        runtime.block_on(async {
            loop {
                // Once begun it is waited for to its end: nothing says that a part of a packet outlives it.
                let mut coming = pin!(events.poll());
                let come = match poll_fn(|context| Poll::Ready(coming.as_mut().poll(context))).await {
                    Poll::Ready(come) => Some(come),
                    Poll::Pending => {
                        idle(feed)?;
                        either(coming, stopping, patience, feed).await?
                    }
                };
                match come {
                    None => return Ok(None),
                    Some(Ok(Event::Incoming(packet))) => return Ok(Some(packet)),
                    Some(Ok(Event::Outgoing(_))) => {}
                    Some(Err(error)) => return Err(Trouble::Passing(explain(line, &error))),
                }
            }
        })
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
        // The first: a broker that never stops must not keep a pipeline from stopping.
        tokio::select! {
            biased;
            () = stopping.rings() => return Err(Trouble::Stopped),
            come = &mut coming => return Ok(Some(come)),
            () = tokio::time::sleep(patience.part().unwrap_or(CONNECT)) => {
                if patience.is_over() {
                    return Ok(None);
                }
            }
        }
    }
}

/// Why there is no connection, and what to do.
fn explain(line: &str, error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => {
            let reason = match code {
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                    "the user name or the password is not right: see `username` and `password_file`"
                }
                ConnectReturnCode::BadClientId => "it does not take the client's name: see `client_id`",
                ConnectReturnCode::ServiceUnavailable => "it is not available",
                ConnectReturnCode::RefusedProtocolVersion => "it does not speak MQTT 3.1.1",
                ConnectReturnCode::Success => "it gives no reason",
            };
            format!("{line} lets this client not in: {reason}")
        }
        ConnectionError::NetworkTimeout => format!("{line} cannot be reached: nothing answers"),
        ConnectionError::Io(error) => format!("{line} cannot be reached: {error}"),
        ConnectionError::Tls(error) => format!("{line} cannot be trusted: {}; see `ca_file`", innermost(error)),
        error => {
            let problem = innermost(error);
            // TLS 1.3: what the broker thinks of a device's certificate comes when the connection stands.
            let hint = if problem.contains("fatal alert") { "; see `certificate_file`" } else { "" };
            format!("{line} is gone: {problem}{hint}")
        }
    }
}

/// What is at the bottom of an error whose layers all repeat it.
fn innermost(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().unwrap_or(error).to_string()
}

/// A runtime that is let go of without waiting: a name that is being looked up takes its time.
struct Detached(Option<Runtime>);

impl Detached {
    fn new() -> io::Result<Self> {
        Ok(Self(Some(Builder::new_current_thread().enable_all().build()?)))
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
