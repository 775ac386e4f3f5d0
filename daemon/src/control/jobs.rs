//! Jobs: work that takes longer than a caller should wait for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::ControlError;
use super::state::{Job, JobKind, JobState};
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
    gate: Arc<Gate>,
}

/// What decides between a job and whoever cancels it: exactly one of the two passes, whichever comes first.
#[derive(Debug, Default)]
pub(super) struct Gate(AtomicU8);

impl Gate {
    const OPEN: u8 = 0;
    const COMMITTING: u8 = 1;
    const CANCELLED: u8 = 2;

    /// The point of no return: from here on the job cannot be cancelled.
    ///
    /// # Errors
    /// [`ControlError::Cancelled`] where it was before.
    pub(super) fn commit(&self) -> Result<(), ControlError> {
        self.pass(Self::COMMITTING).then_some(()).ok_or(ControlError::Cancelled)
    }

    /// Whether the job has been cancelled, for one that has a long way to go yet.
    ///
    /// # Errors
    /// [`ControlError::Cancelled`]
    pub(super) fn check(&self) -> Result<(), ControlError> {
        if self.0.load(Ordering::Acquire) == Self::CANCELLED { Err(ControlError::Cancelled) } else { Ok(()) }
    }

    /// What was begun is done; what follows can be cancelled again.
    pub(super) fn reopen(&self) {
        self.0.store(Self::OPEN, Ordering::Release);
    }

    /// Whether the job is cancelled now; it will end as such.
    fn cancel(&self) -> bool {
        self.pass(Self::CANCELLED) || self.0.load(Ordering::Acquire) == Self::CANCELLED
    }

    fn pass(&self, to: u8) -> bool {
        self.0.compare_exchange(Self::OPEN, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Jobs {
    /// Begins a job; gives its number.
    pub(super) fn begin(&mut self, kind: JobKind, operation: String) -> u32 {
        self.last = self.last.wrapping_add(1);
        let job = Job { kind, operation, state: JobState::Running, percent: 0, step: String::new() };
        self.jobs.insert(self.last, Entry { job, gate: Arc::default() });
        self.forget_oldest();
        self.last
    }

    /// Notes how far a job is. The percentage never goes back.
    pub(super) fn step(&mut self, number: u32, step: Step, percent: u8) {
        if let Some(entry) = self.jobs.get_mut(&number) {
            entry.job.percent = entry.job.percent.max(percent);
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

    /// Cancels a job. Where that is granted it ends as cancelled, at its next step.
    pub(super) fn cancel(&self, number: u32) -> Result<(), ControlError> {
        match self.jobs.get(&number) {
            None => Err(ControlError::NotFound(format!("there is no job {number}"))),
            Some(entry) if entry.job.state != JobState::Running => {
                Err(ControlError::WrongState(format!("job {number} has ended")))
            }
            Some(entry) if entry.gate.cancel() => Ok(()),
            Some(_) => {
                let text = format!("job {number} is being carried out and cannot be cancelled any more");
                Err(ControlError::WrongState(text))
            }
        }
    }

    /// What a job passes before it changes something.
    pub(super) fn gate(&self, number: u32) -> Arc<Gate> {
        self.jobs.get(&number).map(|entry| Arc::clone(&entry.gate)).unwrap_or_default()
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

    fn begin(jobs: &mut Jobs) -> u32 {
        jobs.begin(JobKind::Activate, "activate belt 1.1.0".into())
    }

    #[test]
    fn old_jobs_are_forgotten_but_never_running_ones() {
        let mut jobs = Jobs::default();
        let running = begin(&mut jobs);
        for _ in 0..100 {
            let number = begin(&mut jobs);
            jobs.end(number, Ok(()));
        }
        assert!(jobs.snapshot().len() <= KEPT + 1);
        assert_eq!(jobs.snapshot()[&running].state, JobState::Running);
    }

    #[test]
    fn a_job_that_was_cancelled_cannot_commit() {
        let mut jobs = Jobs::default();
        let number = begin(&mut jobs);
        let gate = jobs.gate(number);
        gate.check().unwrap();
        jobs.cancel(number).unwrap();
        jobs.cancel(number).expect("once more changes nothing");
        assert_eq!(gate.check(), Err(ControlError::Cancelled));
        assert_eq!(gate.commit(), Err(ControlError::Cancelled));
        jobs.end(number, Err(ControlError::Cancelled));
        assert!(matches!(jobs.cancel(number), Err(ControlError::WrongState(_))));
        assert!(matches!(jobs.cancel(99), Err(ControlError::NotFound(_))));
    }

    #[test]
    fn a_job_that_commits_cannot_be_cancelled_until_it_opens_again() {
        let mut jobs = Jobs::default();
        let number = begin(&mut jobs);
        let gate = jobs.gate(number);
        gate.commit().unwrap();
        assert!(matches!(jobs.cancel(number), Err(ControlError::WrongState(_))));
        gate.check().unwrap();
        gate.reopen();
        jobs.cancel(number).unwrap();
        assert_eq!(gate.commit(), Err(ControlError::Cancelled));
    }

    #[test]
    fn progress_never_goes_back() {
        let mut jobs = Jobs::default();
        let number = begin(&mut jobs);
        jobs.step(number, Step::Golden, 70);
        jobs.step(number, Step::Starting, 10);
        let job = jobs.snapshot()[&number].clone();
        assert_eq!((job.percent, job.step.as_str()), (70, "starting"));
    }
}
