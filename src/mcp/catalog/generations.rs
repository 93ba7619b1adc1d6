//! How often the lists of what is offered have changed: whoever tells clients of it compares and waits.

use tokio::sync::watch;

/// How often each list of a source has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generations {
    /// The tools.
    pub tools: u64,
    /// The resources and their templates.
    pub resources: u64,
    /// The prompts.
    pub prompts: u64,
}

/// Those of all sources together.
pub(super) fn total(changing: &[watch::Receiver<Generations>]) -> Generations {
    changing.iter().fold(Generations::default(), |total, source| {
        let more = *source.borrow();
        Generations {
            tools: total.tools + more.tools,
            resources: total.resources + more.resources,
            prompts: total.prompts + more.prompts,
        }
    })
}

/// The notifications of what has changed.
pub(in crate::mcp) fn list_changes(
    before: Generations,
    now: Generations,
) -> impl Iterator<Item = &'static str> {
    let tools = (before.tools != now.tools).then_some("notifications/tools/list_changed");
    let resources = (before.resources != now.resources).then_some("notifications/resources/list_changed");
    let prompts = (before.prompts != now.prompts).then_some("notifications/prompts/list_changed");
    [tools, resources, prompts].into_iter().flatten()
}

/// Waits until one of the lists changes. Cancel safe.
pub(in crate::mcp) async fn changed(lists: &mut [watch::Receiver<Generations>]) {
    let each = lists.iter_mut().map(|list| {
        Box::pin(async move {
            // A source that is gone changes no more.
            if list.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() {
        std::future::pending::<()>().await;
    } else {
        futures_util::future::select_all(each).await;
    }
}
