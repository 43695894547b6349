"""Traditional characters of reports and their simplified forms, one for one.

Only those that reports use: what is written in Hong Kong, Macao and Taiwan is read by the same
lexicon, and an offset stays an offset.
"""

from __future__ import annotations

_TRADITIONAL = (
    "見無雙兩側腫塊結節積縱膿實變鈣異顯確氣腦臟動靜脈擴張狹減輕損傷轉惡纖維條網葉濃擬慮認為與"
    "並區組織縮壓漿膽腎腸闌徑約釐術後複復議診斷檢臨對較進續舊陳鬆質顱間盤頸鎖關體裡內圍邊緣個"
    "數點狀門淺鏡樣隨訪現發覺證據應該請於從時來過歷蹤藥療燒熱親媽爺癥構產養處號頭頂額顳橋腳齊"
    "蓋賁輸宮陰陽剛際幹鬱滲邏貫誤擇標記軟齶竇鄰離連運達遠適選還緻線級紋給統絲綜繼總繞繫係衛補"
    "製裝觀觸計評試話誌調談論諾謂護讀讓負責貧貼資學尋導層屬島帶師幾廣彌彎徵憂懷戶換攝敗敘極樁"
    "樞機橫歸殘殼毀氫決沒況測渦溫滯滿潰澤濁瀰灣災煙牽獨環瘡瘺癒癰監盡瞭碼礙種稱穩筆範簡籤紅純"
    "終絕綠"
)
_SIMPLIFIED = (
    "见无双两侧肿块结节积纵脓实变钙异显确气脑脏动静脉扩张狭减轻损伤转恶纤维条网叶浓拟虑认为与"
    "并区组织缩压浆胆肾肠阑径约厘术后复复议诊断检临对较进续旧陈松质颅间盘颈锁关体里内围边缘个"
    "数点状门浅镜样随访现发觉证据应该请于从时来过历踪药疗烧热亲妈爷症构产养处号头顶额颞桥脚齐"
    "盖贲输宫阴阳刚际干郁渗逻贯误择标记软腭窦邻离连运达远适选还致线级纹给统丝综继总绕系系卫补"
    "制装观触计评试话志调谈论诺谓护读让负责贫贴资学寻导层属岛带师几广弥弯征忧怀户换摄败叙极桩"
    "枢机横归残壳毁氢决没况测涡温滞满溃泽浊弥湾灾烟牵独环疮瘘愈痈监尽了码碍种称稳笔范简签红纯"
    "终绝绿"
)
SIMPLIFIED = str.maketrans(_TRADITIONAL, _SIMPLIFIED)
"""Code point of a traditional character to that of the simplified one."""
