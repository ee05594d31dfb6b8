//! Cores of its own for the threads that measure, so that the scheduler does not move them between caches in the middle of
//! a run. What was got is recorded with the result; a system that does not allow it is no error.

/// Confines this thread, and those that it starts from now on, to `needed` of the cores that it may use: the last ones,
/// because the first ones serve most interrupts, and one of each physical core as far as that goes. Returns what was got;
/// none where the system has no such call or refuses it.
#[cfg(target_os = "linux")]
pub fn pin(needed: usize) -> Option<Vec<usize>> {
    let chosen = choose(&system::allowed()?, needed, system::siblings);
    system::confine(&chosen).then_some(chosen)
}

/// Other systems have no call for it that holds.
#[cfg(not(target_os = "linux"))]
pub fn pin(_: usize) -> Option<Vec<usize>> {
    None
}

/// Processors that this thread may run on; none where the system does not tell.
pub fn allowed() -> Option<Vec<usize>> {
    #[cfg(target_os = "linux")]
    return system::allowed();
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// Confines this thread to some of the cores that [`pin`] got. False where the system refuses it.
pub fn confine(cores: &[usize]) -> bool {
    #[cfg(target_os = "linux")]
    return system::confine(cores);
    #[cfg(not(target_os = "linux"))]
    return cores.is_empty();
}

/// `needed` of the `allowed` processors, in ascending order: first one of each group of siblings, from the last on.
#[cfg(any(target_os = "linux", test))]
fn choose(allowed: &[usize], needed: usize, siblings: impl Fn(usize) -> Vec<usize>) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut left: Vec<usize> = Vec::new();
    for &cpu in allowed.iter().rev() {
        let taken = siblings(cpu).iter().any(|sibling| chosen.contains(sibling));
        if taken { left.push(cpu) } else { chosen.push(cpu) }
    }
    chosen.extend(left);
    chosen.truncate(needed.max(1));
    chosen.sort_unstable();
    chosen
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;

    /// A set of processors as the kernel takes it.
    fn empty() -> libc::cpu_set_t {
        // SAFETY: the type is an array of integers, for which zeros are a value: the empty set.
        unsafe { std::mem::zeroed() }
    }

    /// Processors that this thread may run on.
    pub(super) fn allowed() -> Option<Vec<usize>> {
        let mut set = empty();
        // SAFETY: `set` outlives the call and has the size that is told; 0 is this thread.
        let got = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
        if got != 0 {
            return None;
        }
        // SAFETY: the macro reads a bit of `set`, and all numbers are below its size.
        let is_in = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &set) };
        Some((0..libc::CPU_SETSIZE as usize).filter(is_in).collect())
    }

    /// Confines this thread.
    pub(super) fn confine(cpus: &[usize]) -> bool {
        if cpus.iter().any(|&cpu| cpu >= libc::CPU_SETSIZE as usize) {
            return false;
        }
        let mut set = empty();
        // SAFETY: the macro sets a bit of `set`, and all numbers are below its size.
        cpus.iter().for_each(|&cpu| unsafe { libc::CPU_SET(cpu, &mut set) });
        // SAFETY: `set` outlives the call and has the size that is told; 0 is this thread.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0 }
    }

    /// Processors of the same physical core, itself among them where the system tells.
    pub(super) fn siblings(cpu: usize) -> Vec<usize> {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        fs::read_to_string(path).map_or_else(|_| Vec::new(), |text| super::list(&text))
    }
}

/// Numbers of a list such as `0-2,7`.
#[cfg(any(target_os = "linux", test))]
fn list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse().ok()?..=to.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_processor_of_each_core_comes_first_and_the_last_cores_before_the_others() {
        let pairs = |cpu: usize| vec![cpu / 2 * 2, cpu / 2 * 2 + 1];
        assert_eq!(choose(&[0, 1, 2, 3, 4, 5], 1, pairs), [5]);
        assert_eq!(choose(&[0, 1, 2, 3, 4, 5], 3, pairs), [1, 3, 5]);
        assert_eq!(choose(&[0, 1, 2, 3, 4, 5], 4, pairs), [1, 3, 4, 5]);
        assert_eq!(choose(&[2, 7], 9, |_| vec![]), [2, 7], "no more than there are");
    }

    #[test]
    fn lists_of_the_kernel_are_read() {
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert!(list("").is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_core_that_no_set_of_the_system_can_hold_is_refused() {
        assert!(!confine(&[usize::MAX]) && !confine(&[libc::CPU_SETSIZE as usize]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pinned_thread_and_those_that_it_starts_run_where_they_were_put() {
        // In a thread of its own: the pin stays.
        std::thread::spawn(|| {
            let Some(pinned) = pin(1) else { return };
            assert_eq!(pinned.len(), 1);
            assert_eq!(system::allowed().unwrap(), pinned);
            let inherited = std::thread::spawn(|| system::allowed().unwrap()).join().unwrap();
            assert_eq!(inherited, pinned);
        })
        .join()
        .unwrap();
    }
}
