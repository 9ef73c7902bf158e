use std::collections::BTreeMap;

use super::BatchJob;
use crate::JobId;

/// Jobs of a batch that wait for each other's outputs, or for their own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the jobs wait for each other's outputs")]
pub struct Cycle {
    /// The indexes of jobs that would never start.
    pub indexes: Vec<usize>,
}

/// Groups the jobs of a batch, as indexes, so that each job is in a later group than the jobs whose
/// outputs it reads. The log must have every job before those that read its outputs.
///
/// # Errors
/// When jobs wait for each other.
pub fn waves<'a>(
    jobs: impl Iterator<Item = &'a BatchJob> + Clone,
) -> Result<Vec<Vec<usize>>, Cycle> {
    let index_of: BTreeMap<JobId, usize> =
        jobs.clone().enumerate().map(|(index, job)| (job.id, index)).collect();
    let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    // For each job, the number of its inputs that are in no wave yet.
    let mut missing: BTreeMap<usize, usize> = BTreeMap::new();
    for (reader, job) in jobs.enumerate() {
        let inputs = job.spec.request.input_jobs();
        let inputs: Vec<usize> =
            inputs.iter().filter_map(|input| index_of.get(input).copied()).collect();
        missing.insert(reader, inputs.len());
        for input in inputs {
            readers.entry(input).or_default().push(reader);
        }
    }
    let mut waves = Vec::new();
    loop {
        let is_ready = |(_, missing): &(&usize, &usize)| **missing == 0;
        let wave: Vec<usize> = missing.iter().filter(is_ready).map(|(index, _)| *index).collect();
        if wave.is_empty() {
            break;
        }
        for index in &wave {
            missing.remove(index);
            for reader in readers.get(index).into_iter().flatten() {
                if let Some(missing) = missing.get_mut(reader) {
                    *missing = missing.saturating_sub(1);
                }
            }
        }
        waves.push(wave);
    }
    if missing.is_empty() {
        Ok(waves)
    } else {
        Err(Cycle { indexes: missing.into_keys().collect() })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Personal,
        job::JobSpec,
        location::Location,
        media::{Analyze, MediaRequest},
    };

    fn id(index: usize) -> JobId {
        JobId::from_uuid(Uuid::from_u128(u128::try_from(index).unwrap()))
    }

    /// The waves of jobs of which each reads outputs of two others, or of one twice.
    fn waves_of(inputs: &[(usize, usize)]) -> Result<Vec<Vec<usize>>, Cycle> {
        let output = |index| {
            Personal::Clear(Location::JobOutput { job: id(index), name: "a.mp4".to_owned() })
        };
        let job = |(index, (input, reference)): (usize, &(usize, usize))| {
            let (input, reference) = (output(*input), Some(output(*reference)));
            let request = Analyze { input, reference, metrics: vec![], per_frame: false };
            BatchJob { id: id(index), spec: JobSpec::of(MediaRequest::Analyze(request)) }
        };
        waves(inputs.iter().enumerate().map(job).collect::<Vec<_>>().iter())
    }

    const OTHER: usize = 99;

    #[test]
    fn a_job_comes_after_the_jobs_that_it_reads() {
        let waves = waves_of(&[(2, 3), (OTHER, OTHER), (1, 1), (OTHER, 1), (0, 2)]);
        assert_eq!(waves, Ok(vec![vec![1], vec![2, 3], vec![0], vec![4]]));
        assert_eq!(waves_of(&[]), Ok(vec![]));
    }

    #[test]
    fn jobs_that_wait_for_each_other_are_found() {
        let cycle = waves_of(&[(OTHER, OTHER), (2, 0), (1, 0), (2, 2)]);
        assert_eq!(cycle, Err(Cycle { indexes: vec![1, 2, 3] }));
        assert_eq!(waves_of(&[(0, 0)]), Err(Cycle { indexes: vec![0] }));
    }
}
