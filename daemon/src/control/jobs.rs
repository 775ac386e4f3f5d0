//! Jobs: work that takes longer than a caller should wait for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ControlError;
use super::state::{Job, JobState};
use crate::model::rollout::Step;

/// Ended jobs that can still be read.
const KEPT: usize = 64;

/// The jobs, by number.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    last: u32,
    jobs: BTreeMap<u32, Entry>,
}

#[derive(Debug)]
struct Entry {
    job: Job,
    cancelled: Arc<AtomicBool>,
}

impl Jobs {
    /// Begins a job; gives its number.
    pub(super) fn begin(&mut self, operation: String) -> u32 {
        self.last = self.last.wrapping_add(1);
        let job = Job { operation, state: JobState::Running, percent: 0, step: String::new() };
        self.jobs.insert(self.last, Entry { job, cancelled: Arc::default() });
        self.forget_oldest();
        self.last
    }

    pub(super) fn step(&mut self, number: u32, step: Step) {
        if let Some(entry) = self.jobs.get_mut(&number) {
            entry.job.percent = step.percent();
            step.word().clone_into(&mut entry.job.step);
        }
    }

    /// Says what a job turned out to be about.
    pub(super) fn rename(&mut self, number: u32, operation: String) {
        if let Some(entry) = self.jobs.get_mut(&number) {
            entry.job.operation = operation;
        }
    }

    pub(super) fn end(&mut self, number: u32, result: Result<(), ControlError>) {
        let Some(entry) = self.jobs.get_mut(&number) else { return };
        match result {
            Ok(()) => {
                tracing::info!(job = number, operation = entry.job.operation, "done");
                entry.job.percent = 100;
                entry.job.state = JobState::Succeeded;
            }
            Err(error) => {
                tracing::error!(job = number, operation = entry.job.operation, step = entry.job.step, %error, "given up");
                entry.job.state = JobState::Failed(error);
            }
        }
    }

    pub(super) fn cancel(&self, number: u32) -> Result<(), ControlError> {
        match self.jobs.get(&number) {
            None => Err(ControlError::NotFound(format!("there is no job {number}"))),
            Some(entry) if entry.job.state != JobState::Running => {
                Err(ControlError::WrongState(format!("job {number} has ended")))
            }
            Some(entry) => {
                entry.cancelled.store(true, Ordering::Release);
                Ok(())
            }
        }
    }

    /// What is set when a job is cancelled.
    pub(super) fn cancel_flag(&self, number: u32) -> Arc<AtomicBool> {
        self.jobs.get(&number).map(|entry| Arc::clone(&entry.cancelled)).unwrap_or_default()
    }

    pub(super) fn snapshot(&self) -> BTreeMap<u32, Job> {
        self.jobs.iter().map(|(number, entry)| (*number, entry.job.clone())).collect()
    }

    fn forget_oldest(&mut self) {
        while self.jobs.len() > KEPT {
            let ended = self.jobs.iter().find(|(_, entry)| entry.job.state != JobState::Running);
            let Some(number) = ended.map(|(number, _)| *number) else { return };
            self.jobs.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_jobs_are_forgotten_but_never_running_ones() {
        let mut jobs = Jobs::default();
        let running = jobs.begin("first".into());
        for _ in 0..100 {
            let number = jobs.begin("more".into());
            jobs.end(number, Ok(()));
        }
        assert!(jobs.snapshot().len() <= KEPT + 1);
        assert_eq!(jobs.snapshot()[&running].state, JobState::Running);
    }

    #[test]
    fn only_a_running_job_can_be_cancelled() {
        let mut jobs = Jobs::default();
        let number = jobs.begin("swap".into());
        let cancelled = jobs.cancel_flag(number);
        jobs.cancel(number).unwrap();
        assert!(cancelled.load(Ordering::Acquire));
        jobs.end(number, Err(ControlError::Cancelled));
        assert!(matches!(jobs.cancel(number), Err(ControlError::WrongState(_))));
        assert!(matches!(jobs.cancel(99), Err(ControlError::NotFound(_))));
    }
}
