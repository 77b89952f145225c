//! Which words may name a Verilog object.

/// Every keyword of Verilog-2005, and those of SystemVerilog that tools reserve even in Verilog files.
const KEYWORDS: &str = "always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign \
default defparam design disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive \
endspecify endtable endtask event for force forever fork function generate genvar highz0 highz1 if ifnone incdir \
include initial inout input instance integer join large liblist library localparam macromodule medium module nand \
negedge nmos nor noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown \
pullup pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 \
rtranif1 scalared showcancelled signed small specify specparam strong0 strong1 supply0 supply1 table task time tran \
tranif0 tranif1 tri tri0 tri1 triand trior trireg unsigned use uwire vectored wait wand weak0 weak1 while wire wor \
xnor xor \
alias assert assume before bind bins bit break byte chandle checker class clocking const constraint context continue \
cover covergroup cross dist do endclass endclocking endgroup endinterface endpackage endprogram endproperty \
endsequence enum expect export extends extern final first_match foreach forkjoin iff ignore_bins import inside int \
interface intersect join_any join_none local logic longint matches modport new null package packed priority program \
property protected pure rand randc randcase randsequence ref return sequence shortint shortreal solve static string \
struct super tagged this throughout timeprecision timeunit type typedef union unique var virtual void wait_order \
wildcard with within";

/// Variables of generate loops, from the outermost inwards.
pub(super) const LOOP_VARIABLES: [&str; 3] = ["k", "l", "n"];

/// What the layer itself uses a name for.
pub(super) fn reserved_for(name: &str) -> Option<&'static str> {
    match name {
        "clk_i" => Some("the clock, which appears where it is needed"),
        "rst_ni" => Some("the reset, which appears where it is needed"),
        _ if LOOP_VARIABLES.contains(&name) => Some("the variables of generate loops"),
        _ => None,
    }
}

/// Whether `name` is reserved by Verilog or SystemVerilog.
pub fn is_keyword(name: &str) -> bool {
    KEYWORDS.split_ascii_whitespace().any(|word| word == name)
}

/// Whether `name` can stand unescaped in Verilog and is lower or upper snake case without oddities.
pub fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !is_keyword(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_and_odd_words_are_no_identifiers() {
        for bad in [
            "",
            "1a",
            "_a",
            "a-b",
            "wire",
            "logic",
            "a b",
            "é",
            "endmodule",
        ] {
            assert!(!is_identifier(bad), "{bad} passed");
        }
        for good in ["a", "take", "spare_q", "LANES", "in_valid_i"] {
            assert!(is_identifier(good), "{good} refused");
        }
    }
}
