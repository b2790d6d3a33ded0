# Copyright 2026 The leconvmn_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The services ~/adapt and ~/reset_adaptation of the decoder node.

~/adapt compares the newest EMG with the training, in a separate process, and answers with its
finding. If the finding is certain enough, the decoder adopts the map, blended in over a second;
otherwise nothing changes. ~/reset_adaptation returns to the map of the checkpoint.
"""

from typing import NamedTuple

from leconvmn_ros.adaptation.background import Answer, BackgroundAdaptation
from leconvmn_ros.decoding.decoder import Decoder
from leconvmn_ros.emg.electrode_map import ElectrodeMap
from leconvmn_ros.nodes.running import every
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from rclpy.timer import Timer
from std_srvs.srv import Trigger

_POLL = 0.1  # s


class Adaptable(NamedTuple):
    """An active decoder and its adaptation.

    Attributes:
        decoder: the decoder.
        trained_map: the map of its checkpoint.
        job: the adaptation, or in words why there is none.
    """

    decoder: Decoder
    trained_map: ElectrodeMap | None
    job: BackgroundAdaptation | str


class AdaptationServices:
    """Offers the services during the life of the node."""

    def __init__(self, node: Node) -> None:
        """Create the services; they refuse until a decoder is active."""
        self._node = node
        self._adaptable: Adaptable | None = None
        self._answered: Future | None = None
        self._poll: Timer | None = None
        # While one request waits for its answer, others are refused, not queued.
        group = ReentrantCallbackGroup()
        for name, callback in (
            ('~/adapt', self._on_adapt),
            ('~/reset_adaptation', self._on_reset),
        ):
            node.create_service(Trigger, name, callback, callback_group=group)

    def offer(self, adaptable: Adaptable) -> None:
        """Serve an active decoder from now on."""
        self._adaptable = adaptable

    def withdraw(self) -> None:
        """Refuse from now on."""
        self._end('the decoder was deactivated meanwhile')
        self._adaptable = None

    def _end(self, reason: str) -> None:
        """End a running adaptation; its caller gets the reason as an answer."""
        if self._adaptable is not None and isinstance(self._adaptable.job, BackgroundAdaptation):
            self._adaptable.job.close()
        self._answer(Answer(False, None, reason))

    async def _on_adapt(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if reason := self._start():
            response.success, response.message = False, f'nothing changes: {reason}'
            return response
        self._answered = Future()
        response.success, response.message = await self._answered
        return response

    def _start(self) -> str:
        """Start an adaptation; return why it is impossible, in words."""
        if self._adaptable is None:
            return 'the decoder is not active'
        decoder, _, job = self._adaptable
        if isinstance(job, str):
            return job
        if job.running:
            return 'an adaptation is running'
        if contradiction := decoder.contradiction:
            return contradiction
        job.start(decoder.recent_emg())
        self._poll = every(_POLL, self._node, self._on_poll)
        return ''

    def _on_poll(self) -> None:
        if self._adaptable is None or isinstance(self._adaptable.job, str):
            return
        answer = self._adaptable.job.take()
        if answer is None:
            return
        if answer.adapted:
            self._adaptable.decoder.adopt(answer.electrode_map)
        self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        if self._poll is not None:
            self._node.destroy_timer(self._poll)
            self._poll = None
        if self._answered is None:
            return
        words = answer.words if answer.adapted else f'nothing changes: {answer.words}'
        log = self._node.get_logger()
        (log.info if answer.adapted else log.warning)(f'adaptation: {words}')
        self._answered.set_result((answer.adapted, words))
        self._answered = None

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._adaptable is None:
            response.success, response.message = False, 'the decoder is not active'
            return response
        self._end('the adaptation was reset meanwhile')
        self._adaptable.decoder.adopt(self._adaptable.trained_map)
        response.success, response.message = True, 'the electrodes as in the checkpoint'
        self._node.get_logger().info(f'adaptation reset: {response.message}')
        return response
