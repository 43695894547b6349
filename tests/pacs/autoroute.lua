-- Routes every stable study to the node, its results included: the plainest auto-router
-- there is, and the hardest on the node's loop guard. OnStableStudy fires again whenever
-- something is added to the study.
function OnStableStudy(studyId, tags, metadata)
  local job = RestApiPost('/modalities/wetread/store',
    DumpJson({ Resources = { studyId }, Asynchronous = true }, true))
  print('routed ' .. studyId)
end
