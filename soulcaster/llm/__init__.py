"""Words by a model: asks Gemini, checks what comes back. Opens no store; the budget is the caller's."""
