pragma Singleton
import QtQuick

// How each disposition looks: ground and ink by role, shape, word.
QtObject {
    readonly property var of: ({
        "accept": { ground: "pass", ink: "onPass", icon: "tick", word: qsTr("PASS"), hatched: false },
        "reject": { ground: "alarm", ink: "onAlarm", icon: "cross", word: qsTr("REJECT"), hatched: false },
        "review": { ground: "warning", ink: "onWarning", icon: "diamond", word: qsTr("REVIEW"), hatched: false },
        "unknown": { ground: "unknown", ink: "onUnknown", icon: "question", word: qsTr("UNKNOWN"), hatched: true },
        "no_verdict": { ground: "none", ink: "onNone", icon: "slash-circle", word: qsTr("NO VERDICT"), hatched: false },
        "": { ground: "key", ink: "text", icon: "clock", word: qsTr("WAITING"), hatched: false }
    })
}
