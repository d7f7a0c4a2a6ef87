"""What the gate before MLflow's interface answers to a request that it refuses."""


class RefusedRequest(Exception):
    """A request that gets `status` (an HTTP status from 400) and one plain sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep what is answered."""
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
