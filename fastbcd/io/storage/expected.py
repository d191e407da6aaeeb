"""What most files say, so that deflation need not store it."""

EXPECTED = (
    b'{"scheme":["TensorTrain",{"rank":8,"modes":null}]}{"scheme":["LowRank",{"rank":null,"energy":'
    b'null}]},"scheme":null,"class_weight":null,"n_nonzero":[],"warnings":[]}{"kind":"low_rank",'
    b'"kind":"dense","activation":"relu","short":{"shape":[100,10]}},{"kind":"sparse","activation":'
    b'"relu","short":{"n_out":100,"n_in":300},"packed":{"values":["F32",[1000]],"intercept":["F32",'
    b'[100]],"gaps":["U8",[1000]],"codes":["U8",[1000]]}},{"kind":"codebook_sparse","activation":'
    b'"identity","params":{"accelerate":true,"activation":"relu","alpha":1.0,"certificate":false,'
    b'"class_weight":null,"early_stopping":false,"gamma":1.0,"hidden_layer_sizes":{"tuple":[100]},'
    b'"loss":"auto","max_iter":1000,"n_iter_no_change":10,"random_state":null,"rho":1.0,"scheme":{'
    b'"dict":[[0,{"scheme":["Combination",{"low_rank":null,"tensor_train":null,"prune":{"scheme":['
    b'"Prune",{"sparsity":null,"density":null,"n_nonzero":1000,"structure":null}]},"quantize":{'
    b'"scheme":["Quantize",{"bits":4,"levels":null,"method":"kmeans","per":"layer","codebook":null}'
    b']}}]}],["output",{"scheme":"solver":"auto","tau":"auto","tol":1e-06,"tol":3e-06,'
    b'"validation_fraction":0.1,"verbose":0,"warm_start":false},"layers":[{"kind":"codebook",'
    b'"activation":"identity","short":{"shape":[100,10]}}],"fitted":{"targets":0,"n_iter":[0,0],'
    b'"classes":["<i8",[0,1,2,3,4,5,6,7,8,9]]},"report":{"columns":["layer","shape","format",'
    b'"scheme","n_params","n_nonzero","n_bytes","dense_bytes","flops","error","output_error"],'
    b'"rows":[["0","784 x 300","codebook_sparse","Prune(n_nonzero=1000) + Quantize(bits=4, method='
    b"'kmeans', per='layer')\",100,1000,"
    b'"total","","","",null,null]],"scores":[0.99,0.99],"warnings":[]}}'
)
"""What the details of most files say, so that they need not say it. Part of version 1: it stays as
it is, whatever becomes of the parameters that it names."""
