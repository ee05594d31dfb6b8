//! Which provider runs which node of a loaded graph, as ONNX Runtime itself tells.

use ort::{AsPointer, Error, session::Session, sys};
use std::{
    collections::BTreeMap,
    ffi::{CStr, c_char},
    ptr,
};

/// Has to be set to `1` before a session is made for [`assigned`] to know anything.
pub(super) const RECORD: &str = "session.record_ep_graph_assignment_info";

/// Nodes named in a message at most.
const NAMED: usize = 10;

/// A node and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// As in the graph; nodes that ONNX Runtime made by fusing have a name of its own.
    pub(super) name: String,
    /// Such as `Gemm`.
    pub(super) operator: String,
    /// Such as `CPUExecutionProvider`.
    pub(super) provider: String,
}

/// Every node with the provider that runs it.
pub(super) fn assigned(session: &Session) -> Result<Vec<Node>, Error> {
    let api = ort::api();
    let (mut subgraphs, mut count) = (ptr::null(), 0);
    // SAFETY: the session lives through this function, and the pointers outlive the call that fills them.
    let status =
        unsafe { (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), &raw mut subgraphs, &raw mut count) };
    // SAFETY: the status comes from that very call.
    unsafe { Error::result_from_status(status) }?;
    let mut found = Vec::new();
    // SAFETY: the call has told where that many subgraphs are, which the session owns.
    for &subgraph in unsafe { slice(subgraphs, count) } {
        // SAFETY: the subgraph and the names in it belong to the session, which lives through this function.
        let provider = unsafe { text(|out| (api.EpAssignedSubgraph_GetEpName)(subgraph, out)) }?;
        let (mut nodes, mut count) = (ptr::null(), 0);
        // SAFETY: as above.
        let status = unsafe { (api.EpAssignedSubgraph_GetNodes)(subgraph, &raw mut nodes, &raw mut count) };
        // SAFETY: the status comes from that very call.
        unsafe { Error::result_from_status(status) }?;
        // SAFETY: the call has told where that many nodes are, which the session owns.
        for &node in unsafe { slice(nodes, count) } {
            // SAFETY: as for the subgraph.
            let name = unsafe { text(|out| (api.EpAssignedNode_GetName)(node, out)) }?;
            // SAFETY: as for the subgraph.
            let operator = unsafe { text(|out| (api.EpAssignedNode_GetOperatorType)(node, out)) }?;
            found.push(Node { name, operator, provider: provider.clone() });
        }
    }
    Ok(found)
}

/// # Safety
/// `first` is null, or `count` values that live as long as the result is used stand there.
unsafe fn slice<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: what the caller promises.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// # Safety
/// `get` fills in a text that ends with a zero and lives until it returns to the caller, or fails.
unsafe fn text(get: impl FnOnce(*mut *const c_char) -> sys::OrtStatusPtr) -> Result<String, Error> {
    let mut text = ptr::null();
    // SAFETY: the status comes from a call of the API.
    unsafe { Error::result_from_status(get(&raw mut text)) }?;
    if text.is_null() {
        return Ok(String::new());
    }
    // SAFETY: what the caller promises.
    Ok(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// What is wrong where not every node is run by `wanted`: the nodes that others run, in words.
pub(super) fn elsewhere(nodes: &[Node], wanted: &str) -> Result<(), String> {
    if nodes.is_empty() {
        return Err("ONNX Runtime does not tell which provider runs which node".to_owned());
    }
    let mut others: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.provider != wanted) {
        others.entry(&node.provider).or_default().push(format!("{} ({})", node.name, node.operator));
    }
    if others.is_empty() {
        return Ok(());
    }
    let told = others.into_iter().map(|(provider, names)| {
        let more = names.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{provider} would run {}{more}", names[..names.len().min(NAMED)].join(", "))
    });
    Err(format!("not every node runs on {wanted}: {}", told.collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, provider: &str) -> Node {
        Node { name: name.into(), operator: "Gemm".into(), provider: provider.into() }
    }

    #[test]
    fn nodes_of_other_providers_are_listed() {
        assert!(elsewhere(&[node("a", "Gpu"), node("b", "Gpu")], "Gpu").is_ok());
        assert!(elsewhere(&[], "Gpu").unwrap_err().contains("does not tell"));
        let mut nodes = vec![node("a", "Gpu"), node("b", "Cpu"), node("c", "Other")];
        let found = elsewhere(&nodes, "Gpu").unwrap_err();
        assert_eq!(found, "not every node runs on Gpu: Cpu would run b (Gemm); Other would run c (Gemm)");
        nodes.extend((0..12).map(|i| node(&format!("n{i}"), "Cpu")));
        let found = elsewhere(&nodes, "Gpu").unwrap_err();
        assert!(found.contains("n8 (Gemm) and 3 more;") && !found.contains("n9"), "{found}");
    }
}
