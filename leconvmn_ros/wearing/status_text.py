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

"""The texts on the page at each moment of a session."""

from collections.abc import Sequence

from leconvmn_ros.wearing.course import SessionCourse, Stage
from leconvmn_ros.wearing.electrodes import BAD, Contact
from leconvmn_ros.wearing.session import Trial
from leconvmn_ros.wearing.status import Action, GuideStatus, MOST_ELECTRODES
from leconvmn_ros.wearing.timeline import Phase

_DOING = {
    Phase.GO: 'follow the hand',
    Phase.HOLD: 'hold',
    Phase.RETURN: 'back to rest',
}


def course_status(
    course: SessionCourse, contacts: Sequence[Contact], problem: str, hint: str
) -> GuideStatus:
    """Return the status of a session.

    Args:
        course: the session.
        contacts: state of each electrode.
        problem: why the signal is not good enough to start, empty if it is.
        hint: result of the last button, empty if it worked.
    """
    status = GuideStatus(
        state='ready',
        session=course.session.name,
        note=course.session.note,
        message=course.message,
        done=course.done,
        total=course.total,
        remaining=course.remaining,
        contacts=tuple(contact.value for contact in contacts[:MOST_ELECTRODES]),
    )
    if course.stage is Stage.READY:
        return _before(status, problem, hint)
    if course.stage is Stage.DONE:
        return status.model_copy(
            update={
                'state': 'done',
                'title': 'Done, thank you',
                'actions': ('redo',) if course.since_cue > 0 else (),
                'progress': 1.0,
            }
        )
    if course.stage is Stage.PAUSED:
        actions: tuple[Action, ...] = ('start', 'redo')
        if problem:
            actions = ('start', 'start_anyway', 'redo')
        return status.model_copy(
            update={
                'state': 'paused',
                'title': 'Paused',
                'message': hint or course.message,
                'following': _name(course, course.current),
                'actions': actions,
            }
        )
    return _running(status, course)


def _before(status: GuideStatus, problem: str, hint: str) -> GuideStatus:
    actions: tuple[Action, ...] = ('start', 'start_anyway') if problem and hint else ('start',)
    if problem and set(status.contacts) & {contact.value for contact in BAD}:
        problem = 'Some electrodes are not good enough, see below.'
    return status.model_copy(
        update={
            'state': 'check' if problem else 'ready',
            'title': 'Check the electrodes' if problem else 'Ready',
            'message': f'{hint} {problem}'.strip()
            or 'The signal is good. Press start when you are ready.',
            'actions': actions,
        }
    )


def _running(status: GuideStatus, course: SessionCourse) -> GuideStatus:
    phase, left, span = course.phase()
    name = _name(course, course.current)
    update: dict[str, object] = {'left': left, 'span': span, 'actions': ('pause', 'redo')}
    if phase is Phase.REST and course.since_cue < 0:
        update |= {'state': 'countdown', 'title': 'Rest', 'following': name}
    elif phase is Phase.REST:
        update |= {
            'state': 'rest',
            'title': 'Rest',
            'following': _name(course, course.following) or 'the end',
        }
    elif phase is not None:
        update |= {
            'state': 'move',
            'title': f'{name[:1].upper()}{name[1:]}: {_DOING[phase]}',
            'following': _name(course, course.following) or 'the end',
        }
    return status.model_copy(update=update)


def _name(course: SessionCourse, trial: Trial | None) -> str:
    return '' if trial is None else course.movement(trial).name
