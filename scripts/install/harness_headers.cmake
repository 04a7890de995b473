# Installs the harness's headers from SOURCE to DESTINATION. The tree says harness/ and reference/;
# among the headers of other projects these are octet/harness/ and octet/reference/.
file(REMOVE_RECURSE "${STAGE}")
file(GLOB_RECURSE headers RELATIVE "${SOURCE}" "${SOURCE}/harness/*.hpp" "${SOURCE}/reference/*.hpp")
foreach(header IN LISTS headers)
  file(READ "${SOURCE}/${header}" text)
  string(REGEX REPLACE "#include \"(harness|reference)/" "#include \"octet/\\1/" text "${text}")
  file(WRITE "${STAGE}/octet/${header}" "${text}")
endforeach()
file(INSTALL "${STAGE}/octet" DESTINATION "${DESTINATION}")
