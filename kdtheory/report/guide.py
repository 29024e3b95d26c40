"""For a newcomer to a run's page: what each thing on it is, a short paragraph each."""

GUIDE: tuple[tuple[str, str], ...] = (
    (
        "Arm",
        "One way of supervising the same student. “labels” is ordinary training. “offline” copies a"
        " finished teacher’s softened decisions. “online” copies the teacher as it was at about the"
        " same point of its own training: the stored teacher checkpoints are followed one after the"
        " other, and the teacher does not learn from the student. “matched” follows the same"
        " checkpoints, but by the part of their final complexity that they have reached. “self”"
        " takes the student’s own earlier round for the teacher. τ is the temperature: the"
        " teacher’s logits are divided by it, so a higher one gives softer targets.",
    ),
    (
        "Complexity",
        "How hard the targets are for this student: Yᵀ K⁻¹ Y, where Y are the targets and K is the"
        " student’s neural tangent kernel on a set of its training examples. It is the squared norm"
        " of the smallest function of that kernel that fits the targets exactly. Targets that vary"
        " along the kernel’s strong directions are cheap, others dear. Its size depends on the"
        " scale of K, so two values compare only on one kernel.",
    ),
    (
        "Adjusted complexity",
        "(1/n) √(Yᵀ K⁻¹ Y · Tr K): the same with the kernel’s scale taken out, so that values of"
        " different kernels can stand side by side. Random labels have nothing to learn in them"
        " and are the control: what lies well below them can be learnt cheaply. (With one output"
        " and no ridge, random ±1 labels give at least 1 in root mean square.)",
    ),
    (
        "Margin",
        "How clearly the targets name the label that was trained on, label noise included: the"
        " target of the labelled class minus the largest other one, averaged (with one output,"
        " label times target). Softer targets have both a lower complexity and a"
        " smaller margin; the theory’s error bound has √complexity over margin in it, so a low"
        " complexity counts only beside its margin.",
    ),
    (
        "Train loss",
        "Mean of the arm’s own loss on the training examples, in nats: cross-entropy, or the"
        " distillation loss (its part from the teacher has the factor τ²). Arms minimise different"
        " losses, so it says whether an arm was fitted, not which arm is better.",
    ),
    (
        "Fidelity",
        "On how many examples student and final teacher decide alike, right or wrong. On training"
        " examples it tells how far the student could follow; on test examples, how much of that"
        " carries over.",
    ),
    (
        "NTK similarity",
        "Cosine between the student’s and the final teacher’s kernels on the same training"
        " examples: 1 where both networks see the same examples as alike, smaller where not.",
    ),
    (
        "Certificate",
        "Where examples were set apart (--certify): an upper bound of how often a kernel predictor"
        " errs on new examples, which holds with probability 0.95. Each example set apart is"
        " predicted from those before it; the share of mistakes, plus what chance may hide, is the"
        " certificate. It is about those predictors, with the student’s kernel, and not about the"
        " trained network, which has a column of its own. The yardstick beside it keeps half of the"
        " examples back instead.",
    ),
    (
        "Test accuracy",
        "Share of the test examples classified correctly after the last epoch. No epoch was chosen"
        " by looking at the test examples. The teacher’s own accuracy stands in the teacher’s row.",
    ),
)
