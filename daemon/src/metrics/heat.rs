//! How hot the machine is, as it was read last. What it does not say has no series.

use prometheus::{GaugeVec, IntGaugeVec};

use super::Register;
use crate::host::thermal::Reading;

pub(super) struct Families {
    temperature: GaugeVec,
    throttled: IntGaugeVec,
    /// Without a label, so that it can be without a series, too.
    frequency: GaugeVec,
}

impl Families {
    pub(super) fn register(with: &Register<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            temperature: with.float_gauges(
                "inferd_temperature_celsius",
                "Temperature of a thermal zone of the kernel's.",
                &["zone", "type"],
            )?,
            throttled: with.gauges(
                "inferd_cpu_throttled",
                "1 where the processor is held back for this reason.",
                &["reason"],
            )?,
            frequency: with.float_gauges(
                "inferd_cpu_frequency_ratio",
                "Frequency of the fastest core, as a share of its greatest.",
                &[],
            )?,
        })
    }

    /// Shows one reading; what it does not have any more is gone.
    pub(super) fn show(&self, reading: &Reading) {
        self.temperature.reset();
        for zone in &reading.zones {
            let labels = [&*zone.number.to_string(), &*zone.kind];
            self.temperature.with_label_values(&labels).set(f64::from(zone.milli_c) / 1000.0);
        }
        self.throttled.reset();
        for (reason, is_so) in &reading.throttled {
            self.throttled.with_label_values(&[reason.word()]).set(i64::from(*is_so));
        }
        self.frequency.reset();
        if let Some(ratio) = reading.frequency_ratio {
            self.frequency.with_label_values(&[] as &[&str]).set(ratio);
        }
    }
}
