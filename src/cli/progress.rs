//! Progress of long work on standard error; nothing when that is not a terminal.

use std::borrow::Cow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `length` steps of the work named by `what`. It disappears when dropped or finished.
pub fn bar(what: impl Into<Cow<'static, str>>, length: u64) -> ProgressBar {
    styled(
        ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr()),
        what,
        "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
    )
}

/// A spinner for work of unknown length.
pub fn spinner(what: impl Into<Cow<'static, str>>) -> ProgressBar {
    let spinner = styled(
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
        what,
        "{spinner} {msg} {elapsed}",
    );
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn styled(bar: ProgressBar, what: impl Into<Cow<'static, str>>, template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).expect("the templates in this file are valid");
    bar.with_style(style)
        .with_message(what)
        .with_finish(indicatif::ProgressFinish::AndClear)
}
